import { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { Scope } from "../../protocol/scope.ts";
import type {
  EraseRequest,
  EraseResult,
  ForkRequest,
  PurgeRequest,
  PurgeResult,
  ThreadStore,
} from "../thread-store.ts";
import type { Backend, ThreadReads, ThreadWrites } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import type { Claims } from "./claims.ts";
import { requestEnd } from "./request-stop.ts";
import type { RunTailer } from "./run-tailer.ts";

const NOTHING: PurgeResult = { threads: 0, runs: 0, bytes: 0 };

export interface ThreadRemovalsOptions {
  readonly reads: ThreadReads;
  readonly writes: ThreadWrites;
  readonly running: Backend["running"];
  readonly batcher: Batcher;
  readonly claims: Claims;
  readonly tailer: RunTailer;
  readonly logger: Logger;
}

/** The threads that a queued store removes and forks. This is not done in batches: it may take long. */
export class ThreadRemovals
  implements Pick<ThreadStore, "endRun" | "delete" | "fork" | "purge" | "erase">
{
  readonly #options: ThreadRemovalsOptions;
  /** Settles when the purge that is under way is over. Null while there is none. */
  #purging: Promise<unknown> | null = null;

  constructor(options: ThreadRemovalsOptions) {
    this.#options = options;
  }

  async endRun(threadId: string, scope: Scope): Promise<void> {
    const { running, batcher, tailer } = this.#options;
    const { run, isOthers } = await running({ threadId, scope });
    // A run of this instance ends by itself.
    if (isOthers || (run !== null && run.ownClaim !== null)) return;
    // A run that was asked to stop before counts as running no more: it only has to be waited for.
    if (run !== null && !(await requestEnd(batcher, { threadId, epoch: run.epoch, scope }))) return;
    await tailer.released(threadId, new AbortController().signal);
  }

  async delete(threadId: string, scope: Scope): Promise<void> {
    const endedClaims = await this.#endedClaims(threadId, scope);
    await this.#options.writes.deleteThread({ threadId, scope, endedClaims });
  }

  async fork({ threadId, newThreadId, atRun }: ForkRequest, scope: Scope): Promise<void> {
    await this.#options.writes.forkThread({ threadId, newThreadId, atRun: atRun ?? null, scope });
  }

  async erase(target: EraseRequest, scope: Scope): Promise<EraseResult> {
    const { claims, writes } = this.#options;
    const heldThreads = claims.heldThreads();
    return writes.erase({ target, scope, endedClaims: claims.last, heldThreads });
  }

  async purge(request: PurgeRequest): Promise<PurgeResult> {
    const { dryRun = false, skipIfPurging = false, scope, onProgress, signal, ...limits } = request;
    signal?.throwIfAborted();
    // Two purges would count the same surplus, and each would remove as much.
    while (!dryRun && this.#purging !== null) {
      if (skipIfPurging) return NOTHING;
      await this.#purging;
    }
    const purgeId = crypto.randomUUID();
    const asked = { purgeId, limits, dryRun, scope, waits: !skipIfPurging };
    const report = (done: PurgeResult) => {
      try {
        onProgress?.(done);
      } catch (error) {
        this.#options.logger.error({ err: error }, "onProgress of a purge failed");
      }
    };
    const purged = this.#options.writes.purge(asked, { onProgress: report, signal });
    if (!dryRun) {
      this.#purging = purged
        .catch(() => undefined)
        .finally(() => {
          this.#purging = null;
        });
    }
    const done = await purged;
    report(done);
    return done;
  }

  /**
   * @throws {RunStoreError} `THREAD_ALREADY_RUNNING`: a run of this store has the thread or waits for it.
   * `THREAD_NOT_FOUND`: so it is, but the thread is another's.
   */
  async #endedClaims(threadId: string, scope: Scope): Promise<number> {
    const { claims, reads } = this.#options;
    const last = claims.lastUnlessHeld(threadId);
    if (last !== null) return last;
    const { thread } = await reads.get({ threadId, scope });
    throw thread === null
      ? new RunStoreError("THREAD_NOT_FOUND", "there is no such thread")
      : new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
  }
}
