import { AsyncLocalStorage } from "node:async_hooks";
import { RunStoreError, toRunStoreError } from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { InterruptedRuns, OfferedRun, TakenRun } from "../store/interrupted-runs.ts";
import type { RunInput, RunnableAgent } from "./agent.ts";
import { agentOfRerun } from "./rerun-agent.ts";
import { withScope } from "./resource.ts";

/** A run that a crash ended. */
export interface InterruptedRun {
  readonly threadId: string;
  readonly runId: string;
  /** The `agentId` of the agent that executed the run, if it had one. */
  readonly agentId: string | null;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /**
   * The whole input of the run. Its `forwardedProps` are empty unless the runner has
   * `storeInput: "full"`.
   */
  readonly input: RunInput;
  /** 1 when the handler gets this run for the first time, at most `maxReruns`. */
  readonly attempt: number;
  /** When the run first began, in milliseconds since the epoch. */
  readonly startedAt: number;
}

export interface RerunOptions {
  /** The `forwardedProps` of the input. Default: those that were stored, usually none. */
  readonly forwardedProps?: unknown;
  /** Default: the id of the interrupted run. */
  readonly runId?: string | undefined;
}

/**
 * Runs an agent on the thread of the interrupted run, with its input. Resolves when the run is over, however
 * it ended: its events are in the thread. An `AbstractAgent` of AG-UI is cloned, and the clone gets the messages and
 * the state of the input.
 *
 * Rejects with a `RunStoreError` if the run did not begin: `THREAD_ALREADY_RUNNING` when a user has gone on
 * with the thread meanwhile, `RUNNER_CLOSED`, `QUEUE_FULL`, or why the thread cannot be claimed.
 */
export type Rerun = (agent: RunnableAgent, options?: RerunOptions) => Promise<void>;

/** Decides what becomes of a run that a crash ended: see `RunnerOptions.onInterrupted`. */
export type OnInterrupted = (run: InterruptedRun, tools: { readonly rerun: Rerun }) => unknown;

/** Runs that are handled at once. The others are left to other instances, or wait. */
const MAX_AT_ONCE = 20;

export interface InterruptionsOptions {
  readonly runs: InterruptedRuns;
  readonly onInterrupted: OnInterrupted;
  readonly maxReruns: number;
  readonly logger: Logger;
  /** False when the runner is closed. */
  readonly isOpen: () => boolean;
  /** Starts the rerun of a run. Resolves when it is over. Rejects if it did not begin. */
  readonly start: (run: RerunRequest) => Promise<void>;
}

export interface RerunRequest {
  readonly threadId: string;
  readonly resourceId: string | null;
  readonly agent: RunnableAgent;
  readonly input: RunInput;
  /** `OfferedRun.row`. */
  readonly rerunOf: number;
}

/**
 * Hands the interrupted runs of a store to the application's handler, each once.
 *
 * A run may be what makes its process crash. Runs are handled together the first time. From the second time
 * on they are handled one at a time, so that such a run does not use up the attempts of the others.
 */
export class Interruptions {
  readonly #options: InterruptionsOptions;
  /** Handlers are called in the async context in which the runner was made: in that of no request. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  /** By thread, the runs that were offered and are not handled yet. */
  readonly #offered = new Map<string, OfferedRun>();
  /** The threads whose run is being handled. */
  readonly #handled = new Set<string>();
  /** Whether one of these runs was taken before. */
  #handlesAgain = false;

  constructor(options: InterruptionsOptions) {
    this.#options = options;
    options.runs.offerTo((runs) => this.#inOwnContext(() => this.#take(runs)));
  }

  #take(runs: readonly OfferedRun[]): void {
    this.#offered.clear();
    for (const run of runs) {
      if (!this.#handled.has(run.threadId)) this.#offered.set(run.threadId, run);
    }
    this.#handleNext();
  }

  #handleNext(): void {
    if (!this.#options.isOpen()) return;
    for (const run of this.#offered.values()) {
      if (this.#handled.size >= MAX_AT_ONCE) return;
      const isAgain = run.attempt > 0;
      if (isAgain && this.#handlesAgain) continue;
      this.#handlesAgain ||= isAgain;
      this.#offered.delete(run.threadId);
      this.#handled.add(run.threadId);
      void this.#handle(run).then(() => {
        this.#handled.delete(run.threadId);
        if (isAgain) this.#handlesAgain = false;
        this.#handleNext();
      });
    }
  }

  /** Never rejects. */
  async #handle(offered: OfferedRun): Promise<void> {
    const { runs, maxReruns, logger } = this.#options;
    const { threadId, attempt } = offered;
    try {
      if (attempt >= maxReruns) {
        if (!(await runs.settle(offered))) return;
        logger.error(
          { threadId, attempt },
          "an interrupted run is given up: its reruns crash, too",
        );
        return;
      }
      const taken = await runs.take(offered);
      if (taken === null) return;
      await this.#call(offered, taken);
      // Has no effect if a rerun has begun, or if another run has taken the thread.
      await runs.settle(offered);
    } catch (cause) {
      // A closed runner settles nothing: another instance gets the run.
      const err = toRunStoreError(cause);
      if (err.code !== "RUNNER_CLOSED") {
        logger.error({ err, threadId }, "an interrupted run could not be handled");
      }
    }
  }

  /** Calls the handler, and waits for it and for its rerun. */
  async #call(offered: OfferedRun, taken: TakenRun): Promise<void> {
    const { onInterrupted, logger } = this.#options;
    const { threadId, row } = offered;
    const { resourceId, agentId, runId, startedAt } = taken;
    const input = taken.input as RunInput;
    const attempt = offered.attempt + 1;
    const run = { threadId, runId, agentId, resourceId, input, attempt, startedAt };
    const reruns: Promise<void>[] = [];
    const rerun: Rerun = (agent, options = {}) => {
      const { forwardedProps = input.forwardedProps, runId: id = runId } = options;
      const whole = { ...input, forwardedProps, runId: id };
      const over = withScope({ resourceId }, async () => {
        const prepared = agentOfRerun(agent, agentId, whole);
        const request = { threadId, resourceId, agent: prepared, input: whole, rerunOf: row };
        await this.#options.start(request);
      });
      // A handler that does not wait for its rerun must not end the process with a rejection.
      reruns.push(over.catch(() => undefined));
      return over;
    };
    try {
      await withScope({ resourceId }, async () => onInterrupted(run, { rerun }));
    } catch (err) {
      const isGoneOn = err instanceof RunStoreError && err.code === "THREAD_ALREADY_RUNNING";
      if (isGoneOn)
        logger.info(
          { threadId, runId },
          "an interrupted run is not run again: its thread has gone on",
        );
      else logger.error({ err, threadId, runId }, "onInterrupted failed");
    }
    await Promise.all(reruns);
  }
}
