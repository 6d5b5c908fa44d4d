import { setImmediate as nextTask } from "node:timers/promises";
import { RunStoreError } from "../../protocol/errors.ts";
import type { ClaimRefusal, HoldingRun } from "../../protocol/messages.ts";
import type { ClaimOutcome, ClaimRequest } from "../run-store.ts";
import { ClaimedRun, type WritePath } from "./claimed-run.ts";
import { requestEnd } from "./request-stop.ts";

const REFUSALS: Readonly<Record<ClaimRefusal, ClaimOutcome>> = {
  THREAD_ALREADY_RUNNING: {
    kind: "refused",
    code: "THREAD_ALREADY_RUNNING",
    message: "Thread already running",
  },
  THREAD_NOT_FOUND: {
    kind: "refused",
    code: "THREAD_NOT_FOUND",
    message: "there is no such thread",
  },
};

/** Makes the claims of a store: numbers them, and keeps track of those without an answer. */
export class Claims {
  readonly #path: WritePath;
  readonly #leaseMs: number;
  #lastNumber = 0;
  /** The threads of the claims that are not answered yet, by the numbers of the claims. */
  readonly #unanswered = new Map<number, string>();
  /** Called when the next claim is answered, whichever it is. */
  #waiters: (() => void)[] = [];

  constructor(path: WritePath, leaseMs: number) {
    this.#path = path;
    this.#leaseMs = leaseMs;
  }

  async claim(request: ClaimRequest): Promise<ClaimOutcome> {
    const number = ++this.#lastNumber;
    this.#unanswered.set(number, request.threadId);
    try {
      return await this.#claim(request, number);
    } finally {
      this.#unanswered.delete(number);
      if (this.#waiters.length > 0) for (const wake of this.#waiters.splice(0)) wake();
    }
  }

  /**
   * The number of the last claim, if no run of this instance holds the thread and none waits for it. Null
   * otherwise.
   */
  lastUnlessHeld(threadId: string): number | null {
    return this.#isClaimedAfter(threadId, 0) ? null : this.#lastNumber;
  }

  /** The number of the last claim. */
  get last(): number {
    return this.#lastNumber;
  }

  /** The threads that a run of this instance holds or waits for. */
  heldThreads(): string[] {
    return [...this.#unanswered.values(), ...[...this.#path.held].map((run) => run.threadId)];
  }

  /**
   * Resolves when the claim that made `live` is answered, if this instance made it. A reader may see the
   * claim in the database before the writer's answer is here.
   */
  async answered(live: HoldingRun | null): Promise<void> {
    if (live === null || live.ownClaim === null) return;
    while (this.#unanswered.has(live.ownClaim)) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    // The caller of `claim` may get its answer in this task. By the next task it knows its epoch.
    await nextTask();
  }

  async #claim(request: ClaimRequest, number: number): Promise<ClaimOutcome> {
    const { batcher, unstored } = this.#path;
    const { threadId, runId, agentId, resourceId = null } = request;
    const { messageIds, messageDigests = [] } = request;
    const ids = { threadId, runId, agentId, resourceId, messageIds, messageDigests };
    const rerun = request.rerunOf === undefined ? {} : { rerunOf: request.rerunOf };
    const op = { kind: "claim", number, ...ids, ...rerun } as const;
    const askedAt = performance.now();
    const result = await batcher.enqueue(op).catch((error: RunStoreError) => {
      unstored.withdraw(threadId, number);
      throw error;
    });
    if (!result.ok) throw RunStoreError.from(result.fault);
    if (result.claim === null) {
      if (result.heldIn !== null && request.supersede?.()) {
        await requestEnd(batcher, { threadId, epoch: result.heldIn, scope: { resourceId } });
      }
      return REFUSALS[result.refusal];
    }
    const { epoch, ...known } = result.claim;
    // A late answer may mean that this process was suspended: another instance may have the thread now.
    const isLate = performance.now() - askedAt > this.#leaseMs / 2;
    if (isLate && !(await batcher.enqueue({ kind: "confirm", threadId, epoch })).ok) {
      return this.#isClaimedAfter(threadId, number)
        ? REFUSALS.THREAD_ALREADY_RUNNING
        : this.claim(request);
    }
    return { kind: "claimed", run: new ClaimedRun(request, epoch, this.#path), ...known };
  }

  /**
   * Whether a later claim of this process has the thread, or waits for its answer. Then the run of the earlier
   * claim is over: a process claims a thread only when it has no other run on it. Claimed again, the earlier
   * run would take the thread from the later one.
   */
  #isClaimedAfter(threadId: string, number: number): boolean {
    for (const [other, thread] of this.#unanswered) {
      if (other > number && thread === threadId) return true;
    }
    return [...this.#path.held].some((run) => run.threadId === threadId);
  }
}
