import { collectMessageIds } from "../../../src/events/message-ids.ts";
import { expectChange } from "../database/fault.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { TransactionStatements } from "../database/statements.ts";
import type { MessageStatements } from "./statements.ts";

type Statements = MessageStatements & Pick<TransactionStatements, "dataVersion">;

/** A thread's latest runs are indexed together when there are so many of them, */
const MAX_RECENT_RUNS = 16;
/** or when they have so many messages, */
const MAX_RECENT_IDS = 64;
/** or when one is so long, in UTF-16 units of JSON, that reading it again would take a while. */
const MAX_RECENT_LENGTH = 64 * 1024;
/** Threads that are remembered between their runs. */
const MAX_THREADS = 4096;

/** What is remembered of a thread: its latest runs, behind `threads.indexed_up_to`. */
export interface RecentRuns {
  readonly threadId: string;
  /** The last claim of the thread that this instance knows of. The next one is higher by one. */
  epoch: number;
  /** What the file was when `threads` was looked at. */
  dataVersion: number;
  /** Whether `threads` has a row of it. */
  isListed: boolean;
  /** Whether `thread_messages` may have rows of it. */
  isIndexed: boolean;
  /** Runs that are not in the index yet, */
  count: number;
  /** and the ids of their messages. */
  readonly ids: Set<string>;
}

export interface StoredRun {
  readonly agentId: string | null;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  /** Its row in `agent_runs`. */
  readonly id: number;
  readonly messageIds: Iterable<string>;
  /** UTF-16 units of its events' JSON. */
  readonly length: number;
}

/**
 * Which messages a thread has stored: those in `thread_messages`, and those of its latest runs,
 * behind `threads.indexed_up_to`. A run alone would change a page of both tables somewhere else
 * each time, which costs as much as the row of the run itself; some runs of a thread together change
 * one page. What is not indexed is remembered here, and read again from a bounded number of rows
 * when it is not: in another process, after a crash, or after a transaction was rolled back.
 *
 * What is remembered is true while no other process has run on the thread, which its epoch tells, and
 * nobody else has changed its rows, which the triggers tell by `threads.messages_stale`.
 */
export class MessageIndex {
  readonly #statements: Statements;
  /** The least recently used thread comes first. */
  readonly #recent = new Map<string, RecentRuns>();
  #dataVersion = 0;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** Whether anyone else has written since the last transaction: called when one has begun. */
  begin(): boolean {
    const before = this.#dataVersion;
    this.#dataVersion = this.#statements.dataVersion.get() ?? 0;
    return this.#dataVersion !== before;
  }

  /** The last claim of a thread that is remembered. */
  epochOf(threadId: string): number | undefined {
    return this.#recent.get(threadId)?.epoch;
  }

  /** What there is to know of a thread that was claimed, the `epoch`th time. */
  recentOf(threadId: string, epoch: number): RecentRuns {
    const known = this.#recent.get(threadId);
    const recent =
      known !== undefined && this.#isTrue(known, epoch) ? known : this.#read(threadId, epoch);
    recent.epoch = epoch;
    recent.dataVersion = this.#dataVersion;
    this.#recent.delete(threadId);
    this.#recent.set(threadId, recent);
    const [oldest = threadId] = this.#recent.keys();
    if (this.#recent.size > MAX_THREADS) this.#recent.delete(oldest);
    return recent;
  }

  /** Which of `ids` the thread has stored, by position. */
  seen({ threadId, isIndexed, ids: recent }: RecentRuns, ids: readonly string[]): boolean[] {
    const isStored = (id: string) =>
      isIndexed && this.#statements.isMessageSeen.get(threadId, id) !== undefined;
    return ids.map((id) => recent.has(id) || isStored(id));
  }

  /** Takes in a run that was stored. */
  add(recent: RecentRuns, run: StoredRun): void {
    const { threadId, ids } = recent;
    if (!recent.isListed) {
      this.#statements.insertThread.run(threadId, run.agentId, run.finishedAt);
      recent.isListed = true;
    }
    recent.count++;
    for (const messageId of run.messageIds) ids.add(messageId);
    if (isDue(recent) || run.length > MAX_RECENT_LENGTH) this.#index(recent, run.id, run.agentId);
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#recent.clear();
  }

  #isTrue({ threadId, epoch: last, dataVersion }: RecentRuns, epoch: number): boolean {
    if (epoch !== last && epoch !== last + 1) return false;
    if (dataVersion === this.#dataVersion) return true;
    return this.#statements.threadIndex.get(threadId)?.messages_stale !== 1;
  }

  /**
   * Reads what is not indexed. When someone else wrote to or purged the thread's rows, its index is
   * made again, from what is there now.
   */
  #read(threadId: string, epoch: number): RecentRuns {
    const row = this.#statements.threadIndex.get(threadId);
    const isStale = row?.messages_stale === 1;
    if (isStale) {
      this.#statements.deleteMessagesOfThread.run(threadId);
      this.#statements.resetThreadIndex.run(threadId);
    }
    const upTo = isStale ? 0 : (row?.indexed_up_to ?? 0);
    const state = { isListed: row !== undefined, isIndexed: upTo > 0, count: 0 };
    const recent = { threadId, epoch, dataVersion: 0, ...state, ids: new Set<string>() };
    if (row === undefined) return recent;
    let last = upTo;
    for (const { id, events } of this.#statements.runsBehind.iterate(threadId, upTo)) {
      for (const messageId of collectMessageIds(parseEvents(events) ?? [])) {
        recent.ids.add(messageId);
      }
      recent.count++;
      last = id;
    }
    if (isDue(recent)) this.#index(recent, last, null);
    return recent;
  }

  #index(recent: RecentRuns, upTo: number, agentId: string | null): void {
    const { threadId, ids } = recent;
    // As SQLite gets a string that is bound: JSON keeps a lone surrogate, and UTF-8 has none.
    const json = JSON.stringify(Array.from(ids, (id) => id.toWellFormed()));
    if (ids.size > 0) this.#statements.insertMessages.run(threadId, json);
    const updated = this.#statements.setIndexedUpTo.run(upTo, recent.count, agentId, threadId);
    expectChange(updated, "the index of a thread's messages");
    ids.clear();
    recent.count = 0;
    recent.isIndexed = true;
  }
}

function isDue({ count, ids }: RecentRuns): boolean {
  return count >= MAX_RECENT_RUNS || ids.size >= MAX_RECENT_IDS;
}
