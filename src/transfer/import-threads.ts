import type { RunnerTransfer } from "../runner/runner-transfer.ts";
import type { StoreAgentRunner } from "../runner/store-agent-runner.ts";
import { assertOnConflict, assertRecords, assertTransfer } from "./arguments.ts";
import { checkRecord, damaged } from "./check-record.ts";
import { IncomingThread, type OnConflict } from "./incoming-thread.ts";
import type { ExportRecord, ThreadEndRecord, TotalRecord } from "./records.ts";

export type { OnConflict } from "./incoming-thread.ts";

export interface ImportOptions {
  /** Default `"throw"`. */
  readonly onConflict?: OnConflict | undefined;
  /** Called after each thread, and within long ones. */
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Ends the import with the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImportProgress {
  /** Threads that were imported. */
  readonly threads: number;
  /** Threads that were passed over, because the store has them. */
  readonly skipped: number;
  /** Runs that were read, those of skipped threads included. */
  readonly runs: number;
  /** UTF-16 units of the JSON of events and inputs that was read. */
  readonly length: number;
}

export type ImportResult = Pick<ImportProgress, "threads" | "skipped" | "runs">;

/**
 * Stores the threads of an export: what `exportThreads` gives, or `fromNdjson` of a file. Resolves when all of
 * them are durable.
 *
 * Each thread is unknown until it is whole, and then behaves as it would have where it comes from: it belongs
 * to the same resource, it knows the same messages, and its next run follows its last one. Other threads are
 * used meanwhile. An import that fails, or whose process dies, leaves whole threads and no parts of others.
 * The same call then goes on where it ended: threads that are there are passed over.
 *
 * @throws {TypeError} an option is wrong.
 * @throws {RunStoreError} `EXPORT_DAMAGED`, `THREAD_EXISTS`, `IMPORT_LOST`, `SCHEMA_TOO_NEW`: a newer version has
 * exported. `THREAD_ID_TOO_LONG`. `THREAD_ALREADY_RUNNING`: a run holds a thread that is to be replaced. `THREAD_NOT_FOUND`: within
 * `withResource` of another resource than a thread's. `RESOURCE_REQUIRED`, `TRANSFER_UNSUPPORTED`,
 * `RUNNER_CLOSED`, and the codes of a store that cannot be written. Threads before the failure are imported.
 */
export async function importThreads(
  runner: Pick<StoreAgentRunner, "transfer">,
  records: AsyncIterable<ExportRecord> | Iterable<ExportRecord>,
  options: ImportOptions = {},
): Promise<ImportResult> {
  assertTransfer("importThreads", runner, options);
  assertOnConflict(options.onConflict);
  assertRecords(records);
  const transfer = runner.transfer();
  const incoming = new Import(transfer, options);
  try {
    for await (const record of records) {
      options.signal?.throwIfAborted();
      await incoming.add(checkRecord(record));
    }
    incoming.expectEnd();
  } catch (error) {
    // What cannot be removed now is removed by the store later.
    await incoming.abandon().catch(() => undefined);
    throw error;
  }
  await transfer.flush();
  return incoming.result;
}

class Import {
  readonly #transfer: RunnerTransfer;
  readonly #options: ImportOptions;
  #current: IncomingThread | null = null;
  #threads = 0;
  #skipped = 0;
  #runs = 0;
  #length = 0;
  /** Since the last total. */
  #since = { threads: 0, runs: 0 };
  #isEnded = false;

  constructor(transfer: RunnerTransfer, options: ImportOptions) {
    this.#transfer = transfer;
    this.#options = options;
  }

  get result(): ImportResult {
    return { threads: this.#threads, skipped: this.#skipped, runs: this.#runs };
  }

  async add(record: ExportRecord): Promise<void> {
    if (record.type === "total") return this.#total(record);
    this.#isEnded = false;
    if (record.type === "thread") {
      if (this.#current !== null) throw damaged("a thread begins before the end of the one before");
      const { onConflict = "throw" } = this.#options;
      this.#current = new IncomingThread(this.#transfer, record, onConflict);
      return;
    }
    const current = this.#current;
    if (current?.threadId !== record.threadId) {
      throw damaged(`a record "${record.type}" is not behind its thread`);
    }
    switch (record.type) {
      case "messages":
        current.addMessages(record);
        return;
      case "run":
      case "events":
        this.#length += await current.addRun(record);
        if (record.type === "events") this.#report();
        return;
      case "void":
        await current.abandon();
        this.#current = null;
        return;
      case "end":
        await this.#end(current, record);
    }
  }

  /** @throws {RunStoreError} `EXPORT_DAMAGED` */
  expectEnd(): void {
    if (!this.#isEnded) throw damaged("the export is cut off: its last record is missing");
  }

  async abandon(): Promise<void> {
    await this.#current?.abandon();
  }

  async #end(current: IncomingThread, record: ThreadEndRecord): Promise<void> {
    if (await current.end(record)) this.#threads++;
    else this.#skipped++;
    this.#runs += current.runs;
    this.#since.threads++;
    this.#since.runs += current.runs;
    this.#current = null;
    this.#report();
  }

  #total({ threads, runs }: TotalRecord): void {
    const isWhole = threads === this.#since.threads && runs === this.#since.runs;
    if (this.#current !== null || !isWhole) throw damaged("threads of the export are missing");
    this.#since = { threads: 0, runs: 0 };
    this.#isEnded = true;
  }

  #report(): void {
    this.#options.onProgress?.({ ...this.result, length: this.#length });
  }
}
