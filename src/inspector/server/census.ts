import { setTimeout as delay } from "node:timers/promises";
import type { StoreAgentRunner, ThreadSummary, TokenUsage } from "../../index.ts";
import type { Relative, TotalsAnswer } from "../api.ts";

/** Milliseconds for which a count is told again. */
const KEEP_MS = 5000;
/** And how many times as long as counting took: a very long list is counted less often. */
const KEEP_TIMES = 10;
/** Milliseconds that a thread waits for its forks to be known. */
const MAX_WAIT_MS = 1000;
const MAX_RESOURCES = 100;
const MAX_DAYS = 60;
const MAX_FORKS = 200;
const DAY_MS = 86_400_000;
const PAGE = 500;

interface Count {
  readonly totals: TotalsAnswer;
  /** By thread, the threads that were forked from it, newest first. */
  readonly forks: ReadonlyMap<string, readonly Relative[]>;
}

/** Counts over all threads, for which the whole list is read. */
export class Census {
  readonly #runner: StoreAgentRunner;
  /** The last count that is done. */
  #known: Count | null = null;
  #last: { readonly count: Promise<Count>; until: number } | null = null;

  constructor(runner: StoreAgentRunner) {
    this.#runner = runner;
  }

  async totals(): Promise<TotalsAnswer> {
    return (await this.#count()).totals;
  }

  /** As of the last count. Null while there is none, and counting takes long. */
  async forksOf(threadId: string): Promise<readonly Relative[] | null> {
    const counting = this.#count();
    // Whoever awaits it is told of a failure.
    counting.catch(() => undefined);
    const count = this.#known ?? (await Promise.race([counting, delay(MAX_WAIT_MS, null)]));
    return count === null ? null : (count.forks.get(threadId) ?? []);
  }

  #count(): Promise<Count> {
    if (this.#last !== null && performance.now() < this.#last.until) return this.#last.count;
    const begun = performance.now();
    const count = this.#read();
    const last = { count, until: Number.POSITIVE_INFINITY };
    this.#last = last;
    const settle = () => {
      const now = performance.now();
      last.until = now + Math.max(KEEP_MS, KEEP_TIMES * (now - begun));
    };
    count.then(
      (known) => {
        this.#known = known;
        settle();
      },
      () => {
        if (this.#last === last) this.#last = null;
      },
    );
    return count;
  }

  async #read(): Promise<Count> {
    const countedAt = Date.now();
    const sums = { threads: 0, archived: 0, running: 0, failed: 0, runs: 0, messages: 0, bytes: 0 };
    let tokens: TokenUsage | null = null;
    let updatedAt: number | null = null;
    const agents = new Map<string | null, number>();
    const resources = new Map<string | null, number>();
    const days = new Map<number, number>();
    const forks = new Map<string, Relative[]>();
    const add = <Key>(counts: Map<Key, number>, key: Key) =>
      counts.set(key, (counts.get(key) ?? 0) + 1);
    let cursor: string | null = null;
    do {
      const page = await this.#page(cursor);
      for (const thread of page.threads) {
        sums.threads++;
        sums.archived += Number(thread.archived);
        sums.running += Number(thread.isRunning);
        sums.failed += Number(thread.lastRun?.outcome === "error");
        sums.runs += thread.runs;
        sums.messages += thread.messages;
        sums.bytes += thread.bytes;
        tokens = addTokens(tokens, thread.tokens);
        updatedAt = Math.max(updatedAt ?? 0, thread.updatedAt);
        add(agents, thread.agentId);
        add(resources, thread.resourceId);
        add(days, Math.floor(thread.updatedAt / DAY_MS) * DAY_MS);
        noteFork(forks, thread);
      }
      cursor = page.nextCursor;
    } while (cursor !== null);
    const totals = {
      ...{ countedAt, ...sums, tokens, updatedAt },
      agents: mostFirst(agents).map(([agentId, threads]) => ({ agentId, threads })),
      resources: mostFirst(resources)
        .slice(0, MAX_RESOURCES)
        .map(([resourceId, threads]) => ({ resourceId, threads })),
      days: [...days]
        .filter(([day]) => day > countedAt - MAX_DAYS * DAY_MS)
        .toSorted(([one], [other]) => one - other)
        .map(([day, threads]) => ({ day, threads })),
    };
    return { totals, forks };
  }

  #page(cursor: string | null) {
    // In this order, a thread that is updated meanwhile stays where it is.
    return this.#runner.threads.list({ order: "created", limit: PAGE, cursor });
  }
}

/** What is told of a relative. */
export function relativeOf(
  threadId: string,
  runId: string,
  thread: ThreadSummary | null,
): Relative {
  if (thread === null) return { threadId, runId, thread };
  const { title, createdAt, runs, archived } = thread;
  return { threadId, runId, thread: { title, createdAt, runs, archived } };
}

/** The list has the newest threads first. */
function noteFork(forks: Map<string, Relative[]>, thread: ThreadSummary): void {
  if (thread.forkedFrom === null) return;
  const { threadId: parent, runId } = thread.forkedFrom;
  const known = forks.get(parent) ?? [];
  if (known.length < MAX_FORKS) known.push(relativeOf(thread.id, runId, thread));
  forks.set(parent, known);
}

function addTokens(one: TokenUsage | null, other: TokenUsage | null): TokenUsage | null {
  if (one === null || other === null) return one ?? other;
  return { input: one.input + other.input, output: one.output + other.output };
}

function mostFirst<Key>(counts: ReadonlyMap<Key, number>): [Key, number][] {
  return [...counts].toSorted(([, one], [, other]) => other - one);
}
