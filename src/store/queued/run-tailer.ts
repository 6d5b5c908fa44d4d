import { type EventLike, isTerminal } from "../../events/event.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { LookMessage, LookRequest } from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";

/** Looks again after this, since a `changed` notice is lost when its writer dies. */
const LOOK_AGAIN_MS = 1000;

export interface RunTailerOptions {
  readonly look: (request: LookRequest) => Promise<LookMessage>;
  /** Called when the first follower or waiter arrives, and there was none before. */
  readonly onWanted: () => void;
  readonly parse: (json: string, run: RunKey) => readonly EventLike[];
}

/** A run that another process executes, for as long as this process follows it. */
interface Followed extends RunKey {
  /** All known events of the run, from the first. */
  readonly segments: (readonly EventLike[])[];
  afterId: number;
  ended: boolean;
  failure: RunStoreError | null;
  readonly followers: Set<Follower>;
}

interface Follower {
  /** Ends the follower's wait for events. */
  wake: () => void;
}

/** A caller that waits for a thread to become free. */
interface Waiter {
  readonly threadId: string;
  readonly resolve: () => void;
  readonly reject: (error: RunStoreError) => void;
}

/**
 * Follows the runs of other processes on the same database, and waits for their threads to become free.
 * Costs nothing while there are no followers and no waiters.
 *
 * A `changed` notice starts a look. One look serves all followers and waiters, and one look is under way
 * at a time.
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

  /** The run's events from the first, until the run has ended or the signal is aborted. */
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

  /** Resolves when no live run of another process holds the thread, or when the signal is aborted. */
  async released(threadId: string, signal: AbortSignal): Promise<void> {
    if (this.#ended !== null) throw this.#ended;
    if (signal.aborted) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { threadId, resolve, reject };
    this.#reportFirst();
    this.#waiters.add(waiter);
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.changed();
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  /** Looks for changes now, or after the look that is under way. */
  changed(): void {
    if (this.#followed.size === 0 && this.#waiters.size === 0) return;
    this.#lookAgain = true;
    if (!this.#looking) void this.#look();
  }

  /** Ends all following and waiting with `error`. */
  end(error: RunStoreError): void {
    this.#ended = error;
    // The timer would keep the process alive.
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#failAll(error);
  }

  #followedRun({ threadId, epoch }: RunKey): Followed {
    const key = keyOf({ threadId, epoch });
    let run = this.#followed.get(key);
    if (run === undefined) {
      const state = { afterId: 0, ended: false, failure: null, followers: new Set<Follower>() };
      run = { threadId, epoch, segments: [], ...state };
      this.#reportFirst();
      this.#followed.set(key, run);
      this.changed();
    }
    return run;
  }

  #reportFirst(): void {
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
    // The journal of an ended run is kept only for a while: it was deleted before its end was read here.
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
