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
import { WorkerPool } from "../worker-threads/worker-pool.ts";
import { WriterReopening } from "./writer-reopening.ts";

export interface SqliteWriterOptions {
  readonly config: WorkerConfig;
  readonly logger: Logger;
  readonly onNotice: (notice: WriterNotice) => void;
  /** Called after each opening of the file, with the configuration of the threads that start later. */
  readonly onOpened: (config: WorkerConfig) => void;
  /** Called when the file was deleted, moved or replaced. */
  readonly onReplaced: (error: RunStoreError) => void;
  /** Whether the successor of a dead writer should open the file. */
  readonly isWanted: () => boolean;
  /** Ends the reopening of the file. */
  readonly signal: AbortSignal;
}

/** The writer thread, and its successor when it dies. */
export class SqliteWriter {
  readonly #options: SqliteWriterOptions;
  readonly #pool: WorkerPool<WriterRequest>;
  #config: WorkerConfig;
  /** See `WorkerConfig`. */
  readonly #batches = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** The writer died during a batch, and no successor has opened the file yet. */
  #died = false;

  constructor(options: SqliteWriterOptions) {
    this.#options = options;
    const { config, logger, signal } = options;
    this.#config = { ...config, batches: this.#batches };
    const reopening = new WriterReopening({
      leaseMs: config.leaseMs,
      logger,
      open: () => this.open(),
      signal,
    });
    this.#pool = new WorkerPool({
      worker: "writer",
      threads: 1,
      config: this.#config,
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
      // A successor must open this same file: it refuses another file of the same name.
      this.#config = { ...this.#config, file: opened.files.db };
      this.#pool.configure(this.#config);
      this.#options.onOpened(this.#config);
    }
    return opened;
  }

  /** `sync`: see `WriterRequest`. */
  async commit(batch: Batch, { sync }: { readonly sync: boolean }): Promise<BatchMessage> {
    if (this.#died) await this.#openAgain();
    Atomics.add(this.#batches, 0, 1);
    try {
      return await this.request<BatchMessage>({ kind: "batch", sync, ...batch });
    } catch (cause) {
      const error = toRunStoreError(cause);
      // Only after a successful opening: otherwise the file itself may be what ends every writer.
      if (error.code === "WRITER_DIED") this.#died = this.#config.file !== null;
      throw error;
    } finally {
      Atomics.sub(this.#batches, 0, 1);
    }
  }

  /** Ends the thread at once. Pending requests reject. */
  destroy(): Promise<void> {
    return this.#pool.destroy();
  }

  /**
   * Has the successor of a dead writer open the file before it gets a batch.
   *
   * A thread that cannot start, and a file that cannot be opened again, are no fault of the batch. Both
   * may pass: the process may have had no file descriptor left. So these failures have the code `NO_WRITER`,
   * which does not count as a death that the batch caused.
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
