import { type EventLike, isTerminal } from "../../events/event.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { LookMessage, LookRequest } from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";

/** Looks again after this, should the word of a change be lost with the writer that had it. */
const LOOK_AGAIN_MS = 1000;

export interface RunTailerOptions {
  readonly look: (request: LookRequest) => Promise<LookMessage>;
  /** Called when someone begins to wait while nobody did. */
  readonly onWanted: () => void;
  readonly parse: (json: string, run: RunKey) => readonly EventLike[];
}

/** A run that another process executes, for as long as someone here follows it. */
interface Followed extends RunKey {
  /** All that is known of it, from its first event. */
  readonly segments: (readonly EventLike[])[];
  afterId: number;
  ended: boolean;
  failure: RunStoreError | null;
  readonly followers: Set<Follower>;
}

interface Follower {
  /** Ends its wait for news. */
  wake: () => void;
}

interface Waiter {
  readonly threadId: string;
  readonly resolve: () => void;
  readonly reject: (error: RunStoreError) => void;
}

/**
 * What other processes do with the same file, as far as someone here waits for it: the events of
 * their runs, and their threads becoming free. Costs nothing while nobody waits.
 *
 * It looks when it is told that something has changed, one look at a time, for everyone at once.
 */
export class RunTailer {
  readonly #options: RunTailerOptions;
  /** By `keyOf` the run. */
  readonly #followed = new Map<string, Followed>();
  readonly #waiters = new Set<Waiter>();
  #looking = false;
  #lookAgain = false;
  #timer: NodeJS.Timeout | null = null;
  #ended: RunStoreError | null = null;

  constructor(options: RunTailerOptions) {
    this.#options = options;
  }

  /** The run's events from its first, until it has ended; or until the signal. */
  async *follow(
    threadId: string,
    epoch: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly EventLike[], void, undefined> {
    if (this.#ended !== null) throw this.#ended;
    const run = this.#followedRun({ threadId, epoch });
    const follower: Follower = { wake() {} };
    run.followers.add(follower);
    signal.addEventListener("abort", () => follower.wake(), { once: true });
    try {
      for (let at = 0; !signal.aborted; ) {
        const segment = run.segments[at];
        if (segment !== undefined) {
          at++;
          yield segment;
        } else if (run.failure !== null) {
          throw run.failure;
        } else if (run.ended) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            follower.wake = resolve;
          });
        }
      }
    } finally {
      run.followers.delete(follower);
      if (run.followers.size === 0) this.#followed.delete(keyOf(run));
    }
  }

  /** Resolves when no live run of another process holds the thread, or with the signal. */
  async released(threadId: string, signal: AbortSignal): Promise<void> {
    if (this.#ended !== null) throw this.#ended;
    if (signal.aborted) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { threadId, resolve, reject };
    this.#want();
    this.#waiters.add(waiter);
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.changed();
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  /** Something was written: looks, now or when the look in flight is back. */
  changed(): void {
    if (this.#followed.size === 0 && this.#waiters.size === 0) return;
    this.#lookAgain = true;
    if (!this.#looking) void this.#look();
  }

  /** Ends all following and waiting with `error`. */
  end(error: RunStoreError): void {
    this.#ended = error;
    // It would keep the process alive for as long as it runs.
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#failAll(error);
  }

  #followedRun({ threadId, epoch }: RunKey): Followed {
    const key = keyOf({ threadId, epoch });
    let run = this.#followed.get(key);
    if (run === undefined) {
      const state = { afterId: 0, ended: false, failure: null, followers: new Set<Follower>() };
      run = { threadId, epoch, segments: [], ...state };
      this.#want();
      this.#followed.set(key, run);
      this.changed();
    }
    return run;
  }

  #want(): void {
    if (this.#followed.size === 0 && this.#waiters.size === 0) this.#options.onWanted();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    while (this.#lookAgain) {
      this.#lookAgain = false;
      const runs = [...this.#followed.values()].filter((run) => !run.ended);
      const waiters = [...this.#waiters];
      if (runs.length === 0 && waiters.length === 0) break;
      try {
        const seen = await this.#options.look({
          runs: runs.map(({ threadId, epoch, afterId, segments }) => {
            return { threadId, epoch, afterId, begun: segments.length > 0 };
          }),
          threads: waiters.map(({ threadId }) => threadId),
        });
        this.#take(runs, seen.runs);
        for (const [at, waiter] of waiters.entries()) if (!seen.held[at]) waiter.resolve();
      } catch (error) {
        this.#failAll(toRunStoreError(error));
      }
    }
    this.#looking = false;
    const idle = this.#ended !== null || (this.#followed.size === 0 && this.#waiters.size === 0);
    this.#timer = idle ? null : setTimeout(() => this.changed(), LOOK_AGAIN_MS);
  }

  #take(runs: readonly Followed[], seen: LookMessage["runs"]): void {
    for (const [at, run] of runs.entries()) {
      const news = seen[at];
      if (news === undefined) continue;
      for (const json of news.stored === null ? news.segments : [news.stored]) {
        run.segments.push(this.#options.parse(json, run));
      }
      run.afterId = news.afterId;
      if (news.more) this.#lookAgain = true;
      else if (!news.running) this.#endRun(run);
      wakeAll(run);
    }
  }

  #endRun(run: Followed): void {
    run.ended = true;
    const last = run.segments.at(-1)?.at(-1);
    if (last === undefined || isTerminal(last)) return;
    // Its journal was deleted before its end was read: that is kept for a while only.
    const message =
      "a run ended while this process was not looking; connect again to see all of it";
    run.failure = new RunStoreError("FOLLOW_LOST", message);
  }

  #failAll(error: RunStoreError): void {
    for (const run of this.#followed.values()) {
      run.ended = true;
      run.failure ??= error;
      wakeAll(run);
    }
    for (const waiter of this.#waiters) waiter.reject(error);
  }
}

function wakeAll(run: Followed): void {
  for (const follower of run.followers) follower.wake();
}
