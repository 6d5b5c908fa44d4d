import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type {
  Batch,
  BatchMessage,
  OpenedMessage,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../../protocol/messages.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WriterReopening } from "./writer-reopening.ts";

export interface SqliteWriterOptions {
  readonly config: WorkerConfig;
  readonly logger: Logger;
  readonly onNotice: (notice: WriterNotice) => void;
  /** Called whenever the file was opened, with what threads that start from now on are given. */
  readonly onOpened: (config: WorkerConfig) => void;
  /** The file has lost its name. */
  readonly onReplaced: (error: RunStoreError) => void;
  /** Whether a writer that takes a dead one's place is to open the file. */
  readonly isWanted: () => boolean;
  /** Ends the reopening. */
  readonly signal: AbortSignal;
}

/** The writer thread, and the one that takes its place when it dies. */
export class SqliteWriter {
  readonly #options: SqliteWriterOptions;
  readonly #pool: WorkerPool<WriterRequest>;
  #config: WorkerConfig;
  /** A batch met the end of its writer, and no other writer has opened the file since. */
  #died = false;

  constructor(options: SqliteWriterOptions) {
    this.#options = options;
    const { config, logger, signal } = options;
    this.#config = config;
    const reopening = new WriterReopening({
      leaseMs: config.leaseMs,
      logger,
      open: () => this.open(),
      signal,
    });
    this.#pool = new WorkerPool({
      worker: "writer",
      threads: 1,
      config,
      diedCode: "WRITER_DIED",
      onDied: () => {
        if (options.isWanted()) void reopening.begin();
      },
      onNotice: options.onNotice,
    });
  }

  async request<V>(request: WriterRequest): Promise<V> {
    try {
      return await this.#pool.request<V>(request);
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.code === "FILE_REPLACED") this.#options.onReplaced(error);
      throw error;
    }
  }

  async open(): Promise<OpenedMessage> {
    const opened = await this.request<OpenedMessage>({ kind: "open" });
    if (opened.files !== null) {
      // A thread that takes a dead one's place opens this very file, or none.
      this.#config = { ...this.#config, file: opened.files.db };
      this.#pool.configure(this.#config);
      this.#options.onOpened(this.#config);
    }
    return opened;
  }

  async commit(batch: Batch): Promise<BatchMessage> {
    if (this.#died) await this.#openAgain();
    try {
      return await this.request<BatchMessage>({ kind: "batch", ...batch });
    } catch (cause) {
      const error = toRunStoreError(cause);
      // A file that was never open may be one that no writer can open.
      if (error.code === "WRITER_DIED") this.#died = this.#config.file !== null;
      throw error;
    }
  }

  /** Ends the thread at once. What is pending is rejected. */
  destroy(): Promise<void> {
    return this.#pool.destroy();
  }

  /**
   * Has a new writer open the file before it is given a batch: that a thread cannot start, or a file
   * that was open cannot be opened, is no fault of the batch. It passes, as when the process has no file
   * descriptor left for a while.
   */
  async #openAgain(): Promise<void> {
    try {
      await this.open();
      this.#died = false;
    } catch (cause) {
      const error = toRunStoreError(cause);
      const isKnown = error.retryable && error.code !== "WRITER_DIED";
      if (isKnown || error.code === "FILE_REPLACED") throw error;
      const message = `no writer thread could open the file: ${error.message}`;
      throw new RunStoreError("NO_WRITER", message, { cause: error });
    }
  }
}
