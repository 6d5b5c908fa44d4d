import { collectMessageIds } from "../../src/events/message-ids.ts";
import { parseEvents } from "./segments.ts";
import type { WriterStatements } from "./statements.ts";

/** A thread's latest runs are indexed together when there are so many of them, */
const MAX_RECENT_RUNS = 16;
/** or when they have so many messages, */
const MAX_RECENT_IDS = 64;
/** or when one is so long, in UTF-16 units of JSON, that reading it again would take a while. */
const MAX_RECENT_LENGTH = 64 * 1024;
/** Threads that are remembered between their runs. */
const MAX_THREADS = 4096;

/** What is remembered of a thread. */
interface Recent {
  /** `threads.run_count` when this was true. */
  readonly runCount: number;
  readonly lastRunId: string | null;
  /** Runs that are not in the index yet, and the ids of their messages. */
  readonly runs: number;
  readonly ids: Set<string>;
}

export interface StoredRun {
  readonly threadId: string;
  readonly runId: string;
  readonly agentId: string | null;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/**
 * Which messages a thread has stored: those in `thread_messages`, and those of its latest runs,
 * behind `threads.indexed_up_to`. A run alone would change a page of that table somewhere else
 * each time, which costs as much as the row of the run itself; some runs of a thread together change
 * one page. What is not indexed is remembered here, and read again from a bounded number of rows
 * when it is not: in another process, after a crash, or after a transaction was rolled back.
 */
export class MessageIndex {
  readonly #statements: WriterStatements;
  /** The least recently used thread comes first. */
  readonly #recent = new Map<string, Recent>();

  constructor(statements: WriterStatements) {
    this.#statements = statements;
  }

  /**
   * Which of `ids` the thread has stored. When someone else wrote to or purged the thread's rows,
   * its index is made again first, from what is there now.
   */
  seen(threadId: string, ids: readonly string[]): boolean[] {
    const thread = this.#statements.threadIndex.get(threadId);
    if (thread?.messages_stale === 1) this.#rebuild(threadId);
    const recent = this.#recentOf(threadId, thread?.run_count ?? 0);
    return ids.map(
      (id) => recent.ids.has(id) || this.#statements.isMessageSeen.get(threadId, id) !== undefined,
    );
  }

  /** Counts a run that is about to be stored. Returns the id of the thread's run before it. */
  count({ threadId, agentId, finishedAt }: StoredRun): string | null {
    const counted = this.#statements.countRun.get(threadId, agentId, finishedAt, finishedAt);
    if (counted === undefined) throw new Error("a run could not be counted");
    // Someone else changed the thread's rows while it was held: what is remembered may be gone.
    if (counted.messages_stale === 1) this.#recent.delete(threadId);
    return this.#recentOf(threadId, counted.run_count - 1).lastRunId;
  }

  /** Takes in the messages of a run that was counted and stored as row `id`. */
  add(run: StoredRun, id: number, messageIds: Iterable<string>, length: number): void {
    const { threadId, runId } = run;
    const before = this.#recent.get(threadId);
    if (before === undefined) throw new Error("a run that was not counted was indexed");
    const { ids } = before;
    for (const messageId of messageIds) ids.add(messageId);
    let runs = before.runs + 1;
    const isDue = runs >= MAX_RECENT_RUNS || ids.size >= MAX_RECENT_IDS;
    if (isDue || length > MAX_RECENT_LENGTH) {
      for (const messageId of ids) this.#statements.insertMessage.run(threadId, messageId);
      this.#statements.setIndexedUpTo.run(id, threadId);
      ids.clear();
      runs = 0;
    }
    this.#remember(threadId, { runCount: before.runCount + 1, lastRunId: runId, runs, ids });
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#recent.clear();
  }

  /** What the thread was like when it had `runCount` runs, which it has or is about to exceed. */
  #recentOf(threadId: string, runCount: number): Recent {
    const known = this.#recent.get(threadId);
    if (known?.runCount === runCount) return known;
    const recent = runCount === 0 ? nothing() : this.#read(threadId, runCount);
    this.#remember(threadId, recent);
    return recent;
  }

  #read(threadId: string, runCount: number): Recent {
    const lastRunId = this.#statements.lastRunOfThread.get(threadId) ?? null;
    const recent = this.#statements.eventsNotIndexed.iterate(threadId, threadId);
    return { runCount, lastRunId, ...messagesIn(recent) };
  }

  #remember(threadId: string, recent: Recent): void {
    this.#recent.delete(threadId);
    this.#recent.set(threadId, recent);
    const [oldest = threadId] = this.#recent.keys();
    if (this.#recent.size > MAX_THREADS) this.#recent.delete(oldest);
  }

  #rebuild(threadId: string): void {
    this.#recent.delete(threadId);
    this.#statements.deleteMessagesOfThread.run(threadId);
    const { ids } = messagesIn(this.#statements.eventsOfThread.iterate(threadId));
    for (const id of ids) this.#statements.insertMessage.run(threadId, id);
    this.#statements.markMessagesFresh.run(threadId, threadId);
  }
}

/** The message ids in the events of several runs, and how many runs these were. */
function messagesIn(runs: Iterable<string>): Pick<Recent, "runs" | "ids"> {
  const ids = new Set<string>();
  let count = 0;
  for (const events of runs) {
    for (const id of collectMessageIds(parseEvents(events) ?? [])) ids.add(id);
    count++;
  }
  return { runs: count, ids };
}

function nothing(): Recent {
  return { runCount: 0, lastRunId: null, runs: 0, ids: new Set() };
}
