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
import { WorkerPort } from "../worker-threads/worker-port.ts";
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
  readonly #thread: WorkerPort<WriterRequest>;
  #config: WorkerConfig;
  /** See `WorkerConfig`. */
  readonly #batches = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** The writer died during a batch, and no successor has opened the file yet. */
  #died = false;
  /** `Batch.seq` of the last batch that was answered as committed. */
  #committedSeq: number | null = null;
  #isClosing = false;

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
    this.#thread = new WorkerPort({
      worker: "writer",
      config: this.#config,
      diedCode: "WRITER_DIED",
      onDied: () => {
        if (options.isWanted()) void reopening.begin();
      },
      onNotice: options.onNotice,
    });
  }

  /** Refused with `RUNNER_CLOSED` after `close`: a writer opens the file for a request, and writes a heartbeat. */
  async request<V>(request: WriterRequest): Promise<V> {
    if (this.#isClosing) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    return this.#ask<V>(request);
  }

  /** Has the writer close the file, after all requests before this one. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#ask({ kind: "close" });
  }

  async #ask<V>(request: WriterRequest): Promise<V> {
    try {
      return await this.#thread.request<V>(request);
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
      this.#thread.configure(this.#config);
      this.#options.onOpened(this.#config);
    }
    return opened;
  }

  /** `sync`: see `WriterRequest`. */
  async commit(batch: Batch, { sync }: { readonly sync: boolean }): Promise<BatchMessage> {
    if (this.#died) await this.#openAgain();
    // The successor of a dead writer does not know what that one has committed.
    const after = batch.after === this.#committedSeq ? null : batch.after;
    Atomics.add(this.#batches, 0, 1);
    try {
      const message = await this.request<BatchMessage>({ kind: "batch", sync, ...batch, after });
      this.#committedSeq = batch.seq;
      return message;
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
    return this.#thread.destroy();
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
