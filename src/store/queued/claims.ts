import { setImmediate as nextTask } from "node:timers/promises";
import { RunStoreError } from "../../protocol/errors.ts";
import type { HoldingRun } from "../../protocol/messages.ts";
import type { ClaimOutcome, ClaimRequest } from "../run-store.ts";
import { ClaimedRun, type WritePath } from "./claimed-run.ts";

const REFUSED: ClaimOutcome = {
  kind: "refused",
  code: "THREAD_ALREADY_RUNNING",
  message: "Thread already running",
};

/** The claims of a store: their numbers, and their answers. */
export class Claims {
  readonly #path: WritePath;
  readonly #leaseMs: number;
  #lastNumber = 0;
  /** The claims that are not answered yet: their threads, by their numbers. */
  readonly #unanswered = new Map<number, string>();
  /** Called when any claim was answered. */
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
   * Resolves when this process knows by its epoch what it has claimed: a reader may see a claim in
   * the database before the writer's answer is here.
   */
  async answered(live: HoldingRun | null): Promise<void> {
    if (live === null || live.ownClaim === null) return;
    while (this.#unanswered.has(live.ownClaim)) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    // What was told to the caller of `claim` in this task has been dealt with in the next one.
    await nextTask();
  }

  async #claim(request: ClaimRequest, number: number): Promise<ClaimOutcome> {
    const { batcher, unstored } = this.#path;
    const { threadId, runId, messageIds, messageDigests = [], supersede } = request;
    const ids = { threadId, runId, messageIds, messageDigests };
    const op = { kind: "claim", number, ...ids, supersede } as const;
    const askedAt = performance.now();
    const result = await batcher.enqueue(op).catch((error: RunStoreError) => {
      unstored.withdraw(threadId, number);
      throw error;
    });
    if (!result.ok) throw RunStoreError.from(result.fault);
    if (result.claim === null) return REFUSED;
    const { epoch, seen, changed } = result.claim;
    // So late an answer may be of a process that slept, and whose thread was taken over since.
    const isLate = performance.now() - askedAt > this.#leaseMs / 2;
    if (isLate && !(await batcher.enqueue({ kind: "confirm", threadId, epoch })).ok) {
      return this.#isClaimedAfter(threadId, number) ? REFUSED : this.claim(request);
    }
    return { kind: "claimed", run: new ClaimedRun(request, epoch, this.#path), seen, changed };
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
