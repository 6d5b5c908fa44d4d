import { digestsOf, type MessageDigest } from "../../../src/events/message-digests.ts";
import { slotHasMessages } from "../../../src/events/shared/take-out.ts";
import { expectChange } from "../database/fault.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { TransactionStatements } from "../database/statements.ts";
import { ValueReader } from "../values/read-values.ts";
import type { MessageStatements } from "./statements.ts";

type Statements = MessageStatements & Pick<TransactionStatements, "dataVersion">;

/**
 * The recent runs of a thread are indexed together when there are this many runs. Most threads stay shorter, and
 * are never indexed.
 */
const MAX_RECENT_RUNS = 32;

/** The recent runs of a thread are indexed when they have this many message ids. */
const MAX_RECENT_IDS = 64;

/**
 * The recent runs of a thread are indexed when they are longer than this, in UTF-16 units of JSON. Reading them
 * again would be slow.
 */
const MAX_RECENT_LENGTH = 64 * 1024;

/** How many threads are remembered. */
const MAX_THREADS = 4096;

/** What the writer remembers of a thread. Its recent runs have rows after `threads.indexed_up_to`. */
export interface RecentRuns {
  readonly threadId: string;
  /**
   * The epoch of the last claim of the thread that this instance knows. The next epoch is one higher.
   */
  epoch: number;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /** `PRAGMA data_version` when the row in `threads` was last known to be correct. */
  dataVersion: number;
  /** Whether `thread_messages` may have rows of this thread. */
  isIndexed: boolean;
  /** How many recent runs there are. */
  count: number;
  /** UTF-16 units of their JSON. */
  length: number;
  /** By id, the digests of the messages of the recent runs. */
  readonly digests: Map<string, number>;
}

export interface StoredRun {
  /** The id of its row in `agent_runs`. */
  readonly id: number;
  readonly messages: readonly MessageDigest[];
  /** UTF-16 units of its events' JSON. */
  readonly length: number;
}

/**
 * Which message ids a thread has stored: the ids in `thread_messages`, and the ids of its recent runs.
 * The rows of recent runs come after `threads.indexed_up_to`, and their ids are not in
 * `thread_messages` yet.
 *
 * Several runs are indexed together. Indexing a run changes a page of `threads` and a page of
 * `thread_messages`, which costs as much as storing the run. Several runs of a thread change the same
 * pages. This class remembers the ids of recent runs. After a crash, after a rollback and in another
 * process, they are read from the rows of those runs, of which there are few.
 *
 * The memory of a thread is correct under two conditions. No other process has run on the thread: the
 * epoch shows that. No other program has changed its rows: triggers note that in
 * `threads.messages_stale`.
 */
export class MessageIndex {
  readonly #statements: Statements;
  readonly #values: ValueReader;
  /** The least recently used thread comes first. */
  readonly #recent = new Map<string, RecentRuns>();
  #dataVersion = 0;

  constructor(statements: Statements) {
    this.#statements = statements;
    this.#values = new ValueReader(statements);
  }

  /** `PRAGMA data_version` in the last transaction. It changes when another connection has written. */
  get dataVersion(): number {
    return this.#dataVersion;
  }

  /** Called when a transaction begins. Whether another connection has written since the last call. */
  begin(): boolean {
    const before = this.#dataVersion;
    this.#dataVersion = this.#statements.dataVersion.get() ?? 0;
    return this.#dataVersion !== before;
  }

  /** The last claim of the thread, as far as this instance remembers. */
  lastClaimOf(threadId: string): Pick<RecentRuns, "epoch" | "resourceId"> | undefined {
    return this.#recent.get(threadId);
  }

  /** Forgets a thread that was removed. */
  forget(threadId: string): void {
    this.#recent.delete(threadId);
  }

  /**
   * The memory of a thread that is held in `epoch`. It is read from the file if it is missing or wrong.
   */
  recentOf(threadId: string, epoch: number): RecentRuns {
    const known = this.#recent.get(threadId);
    const recent =
      known !== undefined && this.#isCorrect(known, epoch) ? known : this.#read(threadId, epoch);
    recent.epoch = epoch;
    recent.dataVersion = this.#dataVersion;
    this.#recent.delete(threadId);
    this.#recent.set(threadId, recent);
    const [oldest = threadId] = this.#recent.keys();
    if (this.#recent.size > MAX_THREADS) this.#recent.delete(oldest);
    return recent;
  }

  /** The stored digest of a message, or undefined if the thread has no such message. */
  digestOf({ threadId, isIndexed, digests }: RecentRuns, messageId: string): number | undefined {
    const recent = digests.get(messageId);
    if (recent !== undefined || !isIndexed) return recent;
    return this.#statements.messageDigest.get(threadId, messageId);
  }

  /** Adds a run that was stored. */
  add(recent: RecentRuns, run: StoredRun): void {
    const { digests } = recent;
    recent.count++;
    recent.length += run.length;
    for (const [id, digest] of run.messages) digests.set(id, digest);
    if (isDue(recent)) this.#index(recent, run.id);
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#recent.clear();
  }

  #isCorrect({ threadId, epoch: last, dataVersion }: RecentRuns, epoch: number): boolean {
    if (epoch !== last && epoch !== last + 1) return false;
    if (dataVersion === this.#dataVersion) return true;
    return this.#statements.threadIndex.get(threadId)?.messages_stale !== 1;
  }

  /**
   * Reads the recent runs from the file. A thread is stale when another program has changed or purged
   * its rows: then its index is built again from the rows that are there.
   */
  #read(threadId: string, epoch: number): RecentRuns {
    const row = this.#statements.threadIndex.get(threadId);
    // A file of an earlier version has no row for a thread whose first run was in flight.
    if (row === undefined) this.#statements.addThread.run(threadId, Date.now(), Date.now());
    const isStale = row?.messages_stale === 1;
    if (isStale) {
      this.#statements.deleteMessagesOfThread.run(threadId);
      this.#statements.resetThreadIndex.run(threadId);
    }
    const upTo = isStale ? 0 : (row?.indexed_up_to ?? 0);
    const recent = {
      threadId,
      epoch,
      resourceId: row?.resource_id ?? null,
      dataVersion: 0,
      isIndexed: upTo > 0,
      count: 0,
      length: 0,
      digests: new Map<string, number>(),
    };
    let last = upTo;
    for (const row of this.#statements.runsBehind.iterate(threadId, upTo)) {
      const events = parseEvents(this.#values.eventsOf(row, slotHasMessages)) ?? [];
      for (const [messageId, digest] of digestsOf(events)) recent.digests.set(messageId, digest);
      recent.count++;
      recent.length += this.#values.lengthOf(row);
      last = row.id;
    }
    if (isDue(recent)) this.#index(recent, last);
    return recent;
  }

  #index(recent: RecentRuns, upTo: number): void {
    const { threadId, digests } = recent;
    // Lone surrogates become U+FFFD, as in a bound string. JSON can hold them, but UTF-8 cannot.
    const json = JSON.stringify(Array.from(digests, ([id, digest]) => [id.toWellFormed(), digest]));
    if (digests.size > 0) this.#statements.insertMessages.run(threadId, json);
    const updated = this.#statements.setIndexedUpTo.run(upTo, recent.count, threadId);
    expectChange(updated, "the index of a thread's messages");
    digests.clear();
    recent.count = 0;
    recent.length = 0;
    recent.isIndexed = true;
  }
}

function isDue({ count, length, digests }: RecentRuns): boolean {
  if (count >= MAX_RECENT_RUNS || digests.size >= MAX_RECENT_IDS) return true;
  return length > MAX_RECENT_LENGTH;
}
