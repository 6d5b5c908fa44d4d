import { AsyncResource } from "node:async_hooks";
import type { Observable } from "rxjs";
import type { EventLike } from "../events/event.ts";
import {
  messageOf,
  RunStoreError,
  type RunStoreErrorCode,
  toRunStoreError,
} from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import { Patience } from "../protocol/patience.ts";
import type { ClaimedRun, ClaimOutcome, RunStore } from "../store/run-store.ts";
import type { RunStatus } from "../telemetry/messages.ts";
import type { RunInput, RunnableAgent, RunRequest } from "./agent.ts";
import type { EventLog } from "./event-log.ts";
import type { OnConcurrentRun, StoreInput } from "./options.ts";
import {
  clientListOf,
  type InputMessages,
  messagesNewTo,
  type ReadInput,
  readInput,
} from "./read-input.ts";
import { RunStream } from "./run-stream.ts";
import type { RunTrace } from "./run-trace.ts";

/**
 * One run, from the request to its commit.
 *
 *   waiting -> claiming -> running -> closing -> settled -> ended
 *                             \-> stopping -> closing
 *
 * waiting: another run of this process has the thread. This run starts when that run has settled.
 * claiming: the store is asked for the thread. With "supersede" and "enqueue", the run asks again each
 * time a run of another process has released the thread. The agent has not begun.
 * running: the agent executes.
 * stopping: the agent executes, and was told to abort.
 * closing: the agent is done or was cut off. The last events are emitted.
 * settled: the store has the whole run and commits it. The next run of the thread may start.
 * ended: the run is committed, refused or given up. The stream is complete.
 *
 * A run that has not begun may be refused: it goes from waiting or claiming to ended. A run goes back
 * from stopping to running only when `abortRun` throws.
 *
 * The run and its agent execute in the AsyncLocalStorage context of the `run` call. Calls of other
 * requests, which stop the run or let it start, must not pass on their own context.
 *
 * An error that the agent, its input or its events throw is caught where they are used.
 */
type State = "waiting" | "claiming" | "running" | "stopping" | "closing" | "settled" | "ended";

const ALLOWED: Readonly<Record<State, readonly State[]>> = {
  waiting: ["claiming", "ended"],
  claiming: ["running", "ended"],
  running: ["stopping", "closing"],
  stopping: ["running", "closing"],
  closing: ["settled"],
  settled: ["ended"],
  ended: [],
};

/** Why a run settles. A failure of its agent is one of the outcomes. */
interface Outcome {
  readonly error?: { readonly message: string; readonly code?: RunStoreErrorCode };
  /** Whether nothing of the run is stored, because another run supersedes it. */
  readonly discard?: boolean;
}

export interface RunEnvironment {
  readonly store: RunStore;
  readonly logger: Logger;
  readonly onConcurrentRun: OnConcurrentRun;
  readonly stopTimeoutMs: number;
  readonly storeInput: StoreInput;
  /** Default `"additive"`. */
  readonly inputMessages?: InputMessages | undefined;
  /** Whether a run is journaled before its first event: it may have to be run again after a crash. */
  readonly beginsJournal?: boolean | undefined;
  /** Called when the first run of a thread was stored. */
  readonly onFirstStored?: ((run: StoredRun) => void) | undefined;
}

/** The ids of a run that was stored. */
export interface StoredRun {
  readonly threadId: string;
  readonly agentId: string | null;
  readonly resourceId: string | null;
}

/** A request whose fields were read once and checked. */
export interface CheckedRequest extends RunRequest {
  readonly runId: string;
  /** Whose run it is. Null for a run of nobody. */
  readonly resourceId: string | null;
  /** Whether the run is stored. A run that is not stored does not claim its thread. */
  readonly isStored: boolean;
  /** `ClaimRequest.rerunOf`, for the rerun of an interrupted run. */
  readonly rerunOf?: number | undefined;
}

/** Receives the end of a run: implemented by `ThreadRuns`. */
export interface RunListener {
  /** Called once: the agent is done, or will not begin. The next run of the thread may start. */
  onSettled(run: ActiveRun): void;
  /** The run is committed, or will never be: its thread's history is complete. */
  onEnded(run: ActiveRun): void;
}

export class ActiveRun {
  readonly threadId: string;
  readonly runId: string;
  readonly resourceId: string | null;
  readonly isStored: boolean;
  /** Written by `ThreadRuns` alone. */
  isAdded = false;
  readonly #rerunOf: number | undefined;
  readonly #agent: RunnableAgent;
  readonly #input: RunInput;
  /** The context of the `run` call. Costs a tenth of `AsyncLocalStorage.snapshot`, which does the same. */
  readonly #context = new AsyncResource("AgentRun", { requireManualDestroy: true });
  readonly #environment: RunEnvironment;
  readonly #listener: RunListener;
  readonly #stream: RunStream;
  readonly #trace: RunTrace | null;
  #state: State;
  #stopRequested = false;
  /** Whether another run took its place. */
  #isSuperseded = false;
  /** Why the run did not begin, or null. */
  #refusal: RunStoreError | null = null;
  #claimed: ClaimedRun | null = null;
  /** Whether no run of the thread was stored when this run claimed it. */
  #isFirst = false;
  #stopPatience: Patience | null = null;
  #warnedLate = false;
  /** Ends the wait for a run of another process. Null before such a wait. */
  #foreignWait: AbortController | null = null;

  /** `trace` is null when nobody listens. */
  constructor(
    request: CheckedRequest,
    environment: RunEnvironment,
    listener: RunListener,
    trace: RunTrace | null,
  ) {
    this.threadId = request.threadId;
    this.runId = request.runId;
    this.resourceId = request.resourceId;
    this.isStored = request.isStored;
    this.#rerunOf = request.rerunOf;
    this.#agent = request.agent;
    this.#input = request.input;
    this.#environment = environment;
    this.#listener = listener;
    const { storeInput } = environment;
    this.#stream = new RunStream({ threadId: this.threadId, runId: this.runId, storeInput });
    this.#state = "waiting";
    this.#trace = trace;
    trace?.follow(this.log, () => this.#outcome);
  }

  /** What `run` returns: each subscriber gets all events of the run, from the first. */
  get events(): Observable<EventLike> {
    return this.#stream.log.from();
  }

  /** The same events for a replay, which takes the recorded events in pieces. */
  get log(): EventLog {
    return this.#stream.log;
  }

  /** `event`, which is at `position` of `log`, in the form that the store has. */
  storedAt(position: number, event: EventLike): EventLike {
    return this.#stream.storedAt(position, event);
  }

  /** True when the run was refused: its RUN_ERROR is for its caller, not for clients of the thread. */
  get refused(): boolean {
    return this.#refusal !== null;
  }

  /** What became of the run, where its last event does not tell it. */
  get #outcome(): RunStatus | null {
    if (this.refused) return "refused";
    if (this.#isSuperseded) return "superseded";
    return this.#stopRequested ? "stopped" : null;
  }

  /** True from the request until the run is told to stop or its agent is done. */
  get isRunning(): boolean {
    return !this.#stopRequested && this.isActive;
  }

  /** True once the store has given the thread to this run. */
  get hasBegun(): boolean {
    return this.#state !== "waiting" && this.#state !== "claiming";
  }

  /** The number of the run's claim, or null before it is answered. */
  get epoch(): number | null {
    return this.#claimed?.epoch ?? null;
  }

  /** True while this run waits for a run of another process to release the thread. */
  get waitsForOther(): boolean {
    return this.#foreignWait !== null && this.#state === "claiming";
  }

  /** True until the run settles: until then, the next run of the thread may not start. */
  get isActive(): boolean {
    return this.#state !== "settled" && this.#state !== "ended";
  }

  /**
   * Resolves when the run has ended.
   *
   * @throws {RunStoreError} the run was refused.
   */
  async over(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.events.subscribe({ complete: resolve });
    });
    if (this.#refusal !== null) throw this.#refusal;
  }

  /** Takes the thread and runs the agent. Never rejects: every failure is an event. */
  start(): Promise<void> {
    return this.#inOwnContext(() => this.#start());
  }

  async #start(): Promise<void> {
    this.#enter("claiming");
    if (!this.isStored) {
      await this.#startUnstored();
      return;
    }
    let input: ReadInput;
    let claim: ClaimOutcome;
    try {
      ({ input, claim } = await this.#claim());
    } catch (cause) {
      const error = toRunStoreError(cause);
      this.#refuse(error.code, error.message);
      return;
    }
    // The run was superseded, or the runner closed, while the claim was under way.
    if (this.#state !== "claiming") {
      if (claim.kind === "claimed") await this.#release(claim.run);
      return;
    }
    if (claim.kind === "refused") {
      this.#refuse(claim.code, claim.message);
      return;
    }
    this.#claimed = claim.run;
    const { run, seen, changed = [], isFirst = false } = claim;
    this.#isFirst = isFirst;
    const { storeInput, inputMessages = "additive", beginsJournal } = this.#environment;
    const newInput = messagesNewTo(input, seen);
    this.#stream.setInput(newInput);
    this.#stream.attach(run, clientListOf(input, { seen, changed }, inputMessages));
    run.setInput(storeInput === "full" ? input.all : this.#stream.storedFormOf(newInput));
    if (beginsJournal === true) run.begin?.(this.#stream.storedStart);
    this.#enter("running");
    this.#trace?.begun(this.epoch);
    await this.#execute();
  }

  /**
   * A run that is not stored claims nothing. But its agent may know what was said on another's thread, by
   * a memory of its own.
   */
  async #startUnstored(): Promise<void> {
    const { store } = this.#environment;
    try {
      const { threadId, resourceId } = this;
      const isOthers = (await store.isOthers?.(threadId, { resourceId })) ?? false;
      if (isOthers) throw new RunStoreError("THREAD_NOT_FOUND", "there is no such thread");
    } catch (cause) {
      const error = toRunStoreError(cause);
      this.#refuse(error.code, error.message);
      return;
    }
    // The run was superseded, or the runner closed, while the store was asked.
    if (!this.#isIn("claiming")) return;
    this.#stream.setInput(this.#input);
    this.#enter("running");
    this.#trace?.begun(this.epoch);
    await this.#execute();
  }

  /**
   * Tells the agent to abort. False when there is nothing to stop, or when `abortRun` throws. An agent
   * that ignores the abort is cut off after `stopTimeoutMs`. With `insist`, so is an agent whose
   * `abortRun` throws.
   */
  stop({ insist = false } = {}): boolean {
    return this.#inOwnContext(() => this.#stop(insist));
  }

  /** Ends the run at once, so that another run can take its place. Its output is not stored. */
  supersede(): void {
    this.#inOwnContext(() => this.#supersede());
  }

  /** Ends a run whose agent has not begun with one RUN_ERROR. */
  refuse(code: RunStoreErrorCode, message: string): void {
    this.#inOwnContext(() => this.#refuse(code, message));
  }

  /** Ends an executing run without waiting for its agent. */
  cutOff(): void {
    this.#inOwnContext(() => this.#settle({}));
  }

  #inOwnContext<T>(call: () => T): T {
    return this.#context.runInAsyncScope(call);
  }

  #stop(insist: boolean): boolean {
    if (this.#stopRequested || !this.isActive) return false;
    this.#stopRequested = true;
    // The agent has not begun: `#execute` sees the flag and does not begin it.
    if (this.#state !== "running") return true;
    this.#enter("stopping");
    if (!this.#abort() && !insist) {
      // `abortRun` may have settled the run before it threw.
      if (this.#isIn("stopping")) {
        this.#stopRequested = false;
        this.#enter("running");
      }
      return false;
    }
    // `abortRun` may have settled the run before it returned.
    if (this.#isIn("stopping")) {
      this.#stopPatience = new Patience(this.#environment.stopTimeoutMs, () => this.#settle({}));
      this.#stopPatience.begin();
    }
    return true;
  }

  #supersede(): void {
    if (this.isActive) this.#isSuperseded = true;
    if (this.#state === "waiting" || this.#state === "claiming") {
      this.#stopRequested = true;
      this.#close({});
      this.#end();
      return;
    }
    this.#stop(false);
    this.#stopRequested = true;
    if (this.isActive) this.#settle({ discard: true });
  }

  #refuse(code: RunStoreErrorCode, message: string): void {
    if (this.#state !== "waiting" && this.#state !== "claiming") return;
    this.#refusal = new RunStoreError(code, message);
    this.#stream.fail(code, message);
    this.#end();
  }

  /** Reads the input and claims the thread. */
  async #claim(): Promise<{ readonly input: ReadInput; readonly claim: ClaimOutcome }> {
    const input = readInput(this.#input);
    this.#stream.setInput(input.all);
    return { input, claim: await this.#claimThread(input) };
  }

  /** Claims the thread once, or with "supersede" and "enqueue" until another process has released it. */
  async #claimThread({ messageIds, messageDigests }: ReadInput): Promise<ClaimOutcome> {
    const { store, onConcurrentRun } = this.#environment;
    const rerunOf = this.#rerunOf;
    const isRerun = rerunOf !== undefined;
    // A rerun gives way to whatever run of a user has the thread.
    const waits = !isRerun && (onConcurrentRun === "supersede" || onConcurrentRun === "enqueue");
    const agentId = agentIdOf(this.#agent);
    for (;;) {
      const outcome = await store.claim({
        threadId: this.threadId,
        runId: this.runId,
        agentId,
        resourceId: this.resourceId,
        messageIds,
        messageDigests,
        supersede: () => !isRerun && onConcurrentRun === "supersede" && this.#isIn("claiming"),
        ...(isRerun && { rerunOf }),
        onLost: (error) => this.#inOwnContext(() => this.#lose(error)),
        onStopRequested: ({ discard }) => this.#stopForOther(discard),
      });
      const isHeld = outcome.kind === "refused" && outcome.code === "THREAD_ALREADY_RUNNING";
      if (!isHeld || !waits || !this.#isIn("claiming")) return outcome;
      this.#foreignWait ??= new AbortController();
      await store.released(this.threadId, this.#foreignWait.signal);
      // If this run ended meanwhile, do not claim again: another run of this process may have the thread
      // now, and the store would give the thread to this claim.
      if (!this.#isIn("claiming")) return outcome;
    }
  }

  /** Ends the run for another process. That process counts on its end, so `insist` on the stop. */
  #stopForOther(discard: boolean): void {
    if (discard) this.supersede();
    else this.stop({ insist: true });
  }

  async #execute(): Promise<void> {
    if (this.#stopRequested) {
      // Stopped before it began: the thread keeps the user's input, and a run that was stopped.
      this.#settle({});
      return;
    }
    try {
      await this.#agent.runAgent(this.#input, {
        onEvent: (params) => this.#receive(params),
        onNewMessage() {},
        onRunStartedEvent() {},
      });
      this.#settle({});
    } catch (error) {
      this.#settle({ error: { message: messageOf(error) } });
    }
  }

  /**
   * Takes an event of the agent. A value that is not an event, or that throws when it is read, fails
   * the run. No error is thrown to the agent: it may emit from a timer, where an error would end the
   * process.
   */
  #receive(params: { readonly event: EventLike }): void {
    try {
      this.#emit(params.event);
    } catch (error) {
      if (this.#state === "running") this.#abort();
      this.#settle({ error: { message: messageOf(error) } });
    }
  }

  /** Emits an event. Ignores the late events of an agent whose run has ended. */
  #emit(event: EventLike): void {
    const late = this.#state !== "running" && this.#state !== "stopping";
    if (late || (this.#stream.ended && event.type !== "RUN_STARTED")) {
      if (this.#warnedLate) return;
      this.#warnedLate = true;
      this.#environment.logger.warn(
        { threadId: this.threadId, runId: this.runId, type: event.type },
        "the agent emitted events after its run had ended; they are ignored",
      );
    } else if (this.#environment.store.stuck) {
      const message = "Too much is waiting to be stored, and the store makes no progress";
      const error = new RunStoreError("QUEUE_FULL", message);
      this.#report("error", error, "a run in flight is ended");
      this.#giveUp(error);
    } else {
      this.#stream.emit(event);
    }
  }

  /** Calls the agent's `abortRun`. False when it throws. A rejection counts as an ignored abort. */
  #abort(): boolean {
    try {
      const aborting: unknown = this.#agent.abortRun();
      void this.#reportIfRejected(aborting);
      return true;
    } catch (error) {
      this.#report("error", error, "the agent's abortRun threw");
      return false;
    }
  }

  async #reportIfRejected(aborting: unknown): Promise<void> {
    try {
      await aborting;
    } catch (error) {
      this.#report("error", error, "the agent's abortRun rejected");
    }
  }

  #close({ error }: Outcome): void {
    // An error with a code comes from the store: it ended the run, even if a stop was requested too.
    this.#stream.close({ stopped: this.#stopRequested && error?.code === undefined, error });
  }

  /**
   * Ends an executing run, for success and failure alike: emits its end, stores it, completes the
   * stream.
   */
  #settle(outcome: Outcome): void {
    // An agent that was cut off may end later: then its run has settled already.
    if (this.#state !== "running" && this.#state !== "stopping") return;
    this.#stopPatience?.end();
    this.#stopPatience = null;
    this.#enter("closing");
    const emitted = this.log.length > 0 || this.#stopRequested;
    this.#close(outcome);
    // Queue the finish before the next run can claim the thread: operations are stored in order.
    const keep = outcome.discard !== true && emitted;
    const stored = this.#claimed === null ? null : this.#store(this.#claimed, keep);
    this.#enter("settled");
    this.#listener.onSettled(this);
    void Promise.resolve(stored).then(() => this.#end());
  }

  #store(claimed: ClaimedRun, keep: boolean): Promise<void> {
    return keep ? this.#commit(claimed) : this.#release(claimed);
  }

  async #commit(claimed: ClaimedRun): Promise<void> {
    try {
      await claimed.finish((error) => {
        this.#inOwnContext(() => {
          this.#reportUnsaved(error);
          this.#stream.complete();
        });
      });
    } catch (cause) {
      this.#reportUnsaved(toRunStoreError(cause));
      return;
    }
    if (!this.#isFirst) return;
    const { threadId, resourceId } = this;
    this.#environment.onFirstStored?.({ threadId, agentId: agentIdOf(this.#agent), resourceId });
  }

  async #release(claimed: ClaimedRun): Promise<void> {
    try {
      await claimed.release();
    } catch (cause) {
      // Nothing of the run had to be kept. The store frees the thread later.
      this.#report("error", toRunStoreError(cause), "releasing a thread failed");
    }
  }

  /** The thread was taken over, or the store can no longer write this run. */
  #lose(error: RunStoreError): void {
    if (!this.isActive) return;
    this.#report("error", error, "a run in flight cannot be stored any more");
    this.#giveUp(unsavedError(error));
  }

  #giveUp(error: { readonly code: RunStoreErrorCode; readonly message: string }): void {
    // Even if the abort fails, the agent's later events are ignored.
    this.#abort();
    this.#settle({ error });
  }

  #reportUnsaved(error: RunStoreError): void {
    this.#report("error", error, "a run could not be stored");
    if (this.log.completed) return;
    const { code, message } = unsavedError(error);
    this.#stream.fail(code, message);
  }

  #report(level: "warn" | "error", err: unknown, message: string): void {
    const { threadId, runId } = this;
    this.#environment.logger[level]({ err, threadId, runId }, message);
  }

  #end(): void {
    const hasSettled = this.#isIn("settled");
    this.#enter("ended");
    this.#foreignWait?.abort();
    if (!hasSettled) this.#listener.onSettled(this);
    this.#listener.onEnded(this);
    this.#stream.complete();
  }

  #isIn(state: State): boolean {
    return this.#state === state;
  }

  #enter(next: State): void {
    if (!ALLOWED[this.#state].includes(next)) {
      throw new Error(`a run cannot go from ${this.#state} to ${next}`);
    }
    this.#state = next;
  }
}

/** The error that a client gets for a run that cannot be stored. */
function unsavedError(error: RunStoreError): { code: RunStoreErrorCode; message: string } {
  const code = error.code === "LEASE_LOST" ? "LEASE_LOST" : "PERSISTENCE_FAILED";
  return { code, message: `The run could not be stored: ${error.message}` };
}

/** The agent's id if it is a string, else null. */
export function agentIdOf(agent: RunnableAgent): string | null {
  try {
    const agentId: unknown = agent.agentId;
    return typeof agentId === "string" ? agentId : null;
  } catch {
    // A missing agent id is no reason to fail the run.
    return null;
  }
}
