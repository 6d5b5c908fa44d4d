import { RunStoreError, toRunStoreError } from "../protocol/errors.ts";
import type { RunnerTransfer } from "../runner/runner-transfer.ts";
import type { MovedRun, MovedRunHead, MovedThread } from "../store/thread-transfer.ts";
import { damaged } from "./check-record.ts";
import { RecordsChecksum } from "./checksum.ts";
import { ThreadComparison } from "./compare-thread.ts";
import type {
  EventsRecord,
  MessagesRecord,
  RunRecord,
  ThreadEndRecord,
  ThreadRecord,
} from "./records.ts";
import { textsOf } from "./run-records.ts";

/**
 * What happens to a thread whose id the store has already. `"throw"`: one that begins with the same runs was
 * imported before, and is passed over; for any other, the import ends with `THREAD_EXISTS`. `"skip"`: it is
 * passed over, whatever its runs are. `"replace"`: it is removed, and imported.
 */
export type OnConflict = "throw" | "skip" | "replace";

/** UTF-16 units of JSON that are written together, unless a single run is longer. */
const PART_LENGTH = 1024 * 1024;

/**
 * A thread whose records come in.
 *
 * It is written piece by piece. If the first piece finds that the store has such a thread, the runs are compared
 * with those of the store instead, or passed over.
 */
export class IncomingThread {
  readonly #transfer: RunnerTransfer;
  readonly #thread: MovedThread;
  readonly #onConflict: OnConflict;
  readonly #importId = crypto.randomUUID();
  readonly #checksum = new RecordsChecksum();
  #state: "new" | "writing" | "comparing" | "skipping" = "new";
  #comparison: ThreadComparison | null = null;
  #messages: MessagesRecord["messages"][number][] = [];
  #waiting: MovedRun[] = [];
  /** UTF-16 units of the waiting runs. */
  #length = 0;
  /** The run whose events come in. */
  #run: { readonly head: MovedRunHead; readonly events: string[] } | null = null;
  #runs = 0;

  constructor(transfer: RunnerTransfer, record: ThreadRecord, onConflict: OnConflict) {
    this.#transfer = transfer;
    this.#onConflict = onConflict;
    const { type: _, format: __, metadata, ...thread } = record;
    this.#thread = { ...thread, metadata: JSON.stringify(metadata) };
    this.#checksum.add(record);
  }

  get threadId(): string {
    return this.#thread.threadId;
  }

  /** Runs so far. */
  get runs(): number {
    return this.#runs;
  }

  addMessages(record: MessagesRecord): void {
    this.#checksum.add(record);
    for (const message of record.messages) this.#messages.push(message);
  }

  /** Resolves with the UTF-16 units of the run's JSON. */
  async addRun(record: RunRecord | EventsRecord): Promise<number> {
    const { head, events, isLast } = textsOf(record, this.#checksum);
    if ((head === null) === (this.#run === null)) throw damaged("the events of a run are missing");
    if (head !== null) this.#run = { head, events: [] };
    this.#run?.events.push(events);
    const added = events.length + (head?.input.length ?? 0);
    this.#length += added;
    if (isLast && this.#run !== null) {
      this.#waiting.push({ ...this.#run.head, events: this.#run.events });
      this.#run = null;
      this.#runs++;
      if (this.#length >= PART_LENGTH) await this.#pass(false);
    }
    return added;
  }

  /**
   * Resolves with whether the thread was imported. False if the store has it already.
   *
   * @throws {RunStoreError} `EXPORT_DAMAGED`, `THREAD_EXISTS`, and the codes of a store that cannot be written.
   */
  async end({ runs, checksum }: ThreadEndRecord): Promise<boolean> {
    if (this.#run !== null || runs !== this.#runs) throw damaged("runs of a thread are missing");
    if (checksum !== this.#checksum.end()) {
      throw damaged("the records of a thread are not those that were exported: wrong checksum");
    }
    if (runs === 0) return false;
    await this.#pass(true);
    return this.#state === "writing";
  }

  /** Leaves nothing of a thread that is not whole. Rejects if that cannot be done now. */
  async abandon(): Promise<void> {
    if (this.#state === "writing") await this.#transfer.abandon(this.threadId, this.#importId);
  }

  /** Passes on what waits. */
  async #pass(ends: boolean): Promise<void> {
    const runs = this.#waiting;
    if (this.#state === "new" || this.#state === "writing") await this.#write(ends);
    if (this.#state === "comparing") await this.#compare(runs);
    this.#waiting = [];
    this.#messages = [];
    this.#length = 0;
  }

  async #write(ends: boolean): Promise<void> {
    const begins = this.#state === "new";
    const [importId, thread] = [this.#importId, this.#thread];
    const [messages, runs] = [this.#messages, this.#waiting];
    const write = () => this.#transfer.write({ importId, thread, begins, ends, messages, runs });
    try {
      await write();
    } catch (error) {
      if (!begins || toRunStoreError(error).code !== "THREAD_EXISTS") throw error;
      if (this.#onConflict !== "replace") {
        this.#state = this.#onConflict === "skip" ? "skipping" : "comparing";
        return;
      }
      await this.#transfer.delete(this.threadId);
      await write();
    }
    this.#state = "writing";
  }

  async #compare(runs: readonly MovedRun[]): Promise<void> {
    this.#comparison ??= new ThreadComparison(this.#transfer, this.#thread);
    for (const run of runs) {
      if (await this.#comparison.hasNext(run)) continue;
      throw new RunStoreError(
        "THREAD_EXISTS",
        `there is a thread ${JSON.stringify(this.threadId)} already, with other runs than those to be imported`,
      );
    }
  }
}
