import type { HeldThread, RunDetails, RunRef, StoreAgentRunner } from "../../index.ts";
import { Refusal } from "./refusal.ts";
import { RunFeed } from "./run-feed.ts";

/** UTF-16 units of events that are kept of all runs together. */
const MAX_KEPT = 192 * 1024 * 1024;
/** Milliseconds for which a run is followed that nobody looks at. */
const FOLLOW_MS = 30_000;
/** Milliseconds that a run that executes is given to tell what it has so far. */
const FIRST_LOOK_MS = 500;

/** A run with its events. Either of `run` and `live` is null. */
export interface ReadRun {
  readonly run: RunDetails | null;
  readonly live: HeldThread | null;
  readonly feed: RunFeed;
}

/** Reads runs, and keeps those that were read last. */
export class RunReader {
  readonly #runner: StoreAgentRunner;
  /** The least recently used comes first. */
  readonly #stored = new Map<string, RunFeed>();
  readonly #live = new Map<string, RunFeed>();

  constructor(runner: StoreAgentRunner) {
    this.#runner = runner;
  }

  /**
   * A stored run with all its events, or a run that executes with those so far.
   *
   * @throws {Refusal} `RUN_NOT_FOUND`
   */
  async read(threadId: string, ref: RunRef): Promise<ReadRun> {
    const run = await this.#runner.threads.run(threadId, ref);
    if (run !== null) {
      const feed = this.#storedFeed(threadId, run);
      await feed.whole().catch((error: unknown) => {
        this.#stored.delete(keyOf(threadId, run));
        throw error;
      });
      this.#forget();
      return { run, live: null, feed };
    }
    const live = await this.holder(threadId);
    if (live?.epoch !== ref.epoch) throw notFound();
    const feed = this.follow(threadId, live);
    const soon = AbortSignal.timeout(FIRST_LOOK_MS);
    await feed.reached(0, soon);
    return { run: null, live, feed };
  }

  /** The run that holds a thread. */
  async holder(threadId: string): Promise<HeldThread | null> {
    return (await this.#runner.threads.holders({ threadId })).held[0] ?? null;
  }

  /** The events of a run that executes. Ends when nobody asks for them for a while. */
  follow(threadId: string, { epoch, runId }: HeldThread): RunFeed {
    const key = keyOf(threadId, { epoch, runId });
    let feed = this.#live.get(key);
    if (feed === undefined || feed.isOver) {
      feed = new RunFeed((signal) =>
        this.#runner.threads.runEvents(threadId, { epoch, runId }, { signal }),
      );
      this.#live.set(key, feed);
    }
    feed.usedAt = performance.now();
    this.#forget();
    return feed;
  }

  close(): void {
    for (const feed of [...this.#live.values(), ...this.#stored.values()]) feed.end();
  }

  #storedFeed(threadId: string, run: RunDetails): RunFeed {
    const key = keyOf(threadId, run);
    const feed =
      this.#stored.get(key) ??
      new RunFeed((signal) => this.#runner.threads.runEvents(threadId, run, { signal }));
    this.#stored.delete(key);
    this.#stored.set(key, feed);
    return feed;
  }

  #forget(): void {
    const before = performance.now() - FOLLOW_MS;
    for (const [key, feed] of this.#live) {
      if (!feed.isOver && feed.usedAt > before) continue;
      feed.end();
      this.#live.delete(key);
    }
    let length = 0;
    for (const feed of this.#stored.values()) length += feed.length;
    for (const [key, feed] of this.#stored) {
      if (length <= MAX_KEPT) return;
      length -= feed.length;
      this.#stored.delete(key);
    }
  }
}

export function notFound(): Refusal {
  return new Refusal(404, "RUN_NOT_FOUND", "The thread has no such run. It may have been removed.");
}

function keyOf(threadId: string, { epoch, runId }: Required<Pick<RunDetails, "epoch" | "runId">>) {
  return JSON.stringify([threadId, epoch, runId]);
}
