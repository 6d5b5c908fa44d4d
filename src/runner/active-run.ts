import { AsyncLocalStorage } from "node:async_hooks";
import type { Observable } from "rxjs";
import type { EventLike } from "../events/event.ts";
import {
  messageOf,
  RunStoreError,
  type RunStoreErrorCode,
  toRunStoreError,
} from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { ClaimedRun, ClaimOutcome, RunStore } from "../store/run-store.ts";
import type { RunInput, RunnableAgent, RunRequest } from "./agent.ts";
import type { EventLog } from "./event-log.ts";
import type { OnConcurrentRun, StoreInput } from "./options.ts";
import {
  clientListOf,
  type InputMessages,
  messagesNewTo,
  type ReadInput,
  readInput,
  withoutForwardedProps,
} from "./read-input.ts";
import { RunStream } from "./run-stream.ts";

/**
 * One run, from the request to its commit.
 *
 *   waiting -> claiming -> running -> closing -> settled -> ended
 *                             \-> stopping -> closing
 *
 * waiting: another run has the thread, and this one is to start after it ("enqueue").
 * claiming: the store is asked for the thread, again and again when another process holds it and
 * this run is to wait for that one's end; the agent has not begun.
 * running: the agent executes. stopping: so it does, and it was told to abort.
 * closing: the agent is done or was cut off, and the last events are going out.
 * settled: the store has the run to commit, and the next one may start.
 * ended: committed, or refused, or given up; the stream is complete.
 *
 * A run that has not begun may be refused, and ends at once. Back from stopping to running it goes
 * only when `abortRun` throws.
 *
 * All of it, the agent above all, executes in the AsyncLocalStorage context of the `run` call that
 * asked for it: whoever ends the run before it, stops it, or has it wait is somebody else.
 *
 * Whatever the agent, its input and its events throw when they are touched is caught where they are.
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

/** Why a run settles. Its agent's failure is an outcome like any other. */
interface Outcome {
  readonly error?: { readonly message: string; readonly code?: RunStoreErrorCode };
  /** Nothing of the run is stored: another one takes its place. */
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
}

/** A request whose ids were read, once, and are strings. */
export interface CheckedRequest extends RunRequest {
  readonly runId: string;
  /** Whether the run is stored. One that is not takes no thread of the store. */
  readonly isStored: boolean;
}

/** What the thread's book-keeping is told. */
export interface RunListener {
  /** The agent is done: the next run of the thread may start. */
  onSettled(run: ActiveRun): void;
  /** The run is committed or never will be: history is complete without it. */
  onEnded(run: ActiveRun): void;
}

export class ActiveRun {
  readonly threadId: string;
  readonly runId: string;
  readonly isStored: boolean;
  readonly #agent: RunnableAgent;
  readonly #input: RunInput;
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  readonly #environment: RunEnvironment;
  readonly #listener: RunListener;
  readonly #stream: RunStream;
  #state: State;
  #stopRequested = false;
  #refused = false;
  #claimed: ClaimedRun | null = null;
  #stopTimer: NodeJS.Timeout | null = null;
  #warnedLate = false;
  /** Ends the wait for a run of another process. */
  #waiting: AbortController | null = null;

  constructor(request: CheckedRequest, environment: RunEnvironment, listener: RunListener) {
    this.threadId = request.threadId;
    this.runId = request.runId;
    this.isStored = request.isStored;
    this.#agent = request.agent;
    this.#input = request.input;
    this.#environment = environment;
    this.#listener = listener;
    const { storeInput } = environment;
    this.#stream = new RunStream({ threadId: this.threadId, runId: this.runId, storeInput });
    this.#state = "waiting";
  }

  /** What `run` returns: everything the run emits, from its first event, to whoever asks. */
  get events(): Observable<EventLike> {
    return this.#stream.log.from();
  }

  /** The same for a replay, which takes the events that are there already in small pieces. */
  get log(): EventLog {
    return this.#stream.log;
  }

  /** `event`, which is in `place` of `log`, as the store has it. */
  storedAt(place: number, event: EventLike): EventLike {
    return this.#stream.storedAt(place, event);
  }

  /** True when the run was refused: what its stream says is for its caller, not for the thread. */
  get refused(): boolean {
    return this.#refused;
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

  /** True while a run of another process has the thread, and this one is to start after it. */
  get waitsForOther(): boolean {
    return this.#waiting !== null && this.#state === "claiming";
  }

  /** True while this run stands in the way of the next one. */
  get isActive(): boolean {
    return this.#state !== "settled" && this.#state !== "ended";
  }

  /** Takes the thread and runs the agent. Never rejects: every failure is an event. */
  start(): Promise<void> {
    return this.#inOwnContext(() => this.#start());
  }

  async #start(): Promise<void> {
    this.#enter("claiming");
    if (!this.isStored) {
      this.#stream.setInput(this.#input);
      this.#enter("running");
      await this.#execute();
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
    // Superseded or closed while the store was asked.
    if (this.#state !== "claiming") {
      if (claim.kind === "claimed") await this.#release(claim.run);
      return;
    }
    if (claim.kind === "refused") {
      this.#refuse(claim.code, claim.message);
      return;
    }
    this.#claimed = claim.run;
    const { run, seen, changed = [] } = claim;
    const { storeInput, inputMessages = "additive" } = this.#environment;
    const newInput = messagesNewTo(input, seen);
    this.#stream.setInput(newInput);
    this.#stream.attach(run, clientListOf(input, { seen, changed }, inputMessages));
    run.setInput(storeInput === "full" ? input.all : withoutForwardedProps(newInput));
    this.#enter("running");
    await this.#execute();
  }

  /**
   * Tells the agent to abort. False when there is nothing to stop or the agent refuses; one that
   * refuses and is insisted on is cut off like one that ignores it.
   */
  stop({ insist = false } = {}): boolean {
    return this.#inOwnContext(() => this.#stop(insist));
  }

  /** Ends the run at once, for another to take its place: its output is not stored. */
  supersede(): void {
    this.#inOwnContext(() => this.#supersede());
  }

  /** Ends a run whose agent has not begun with one RUN_ERROR. */
  refuse(code: RunStoreErrorCode, message: string): void {
    this.#inOwnContext(() => this.#refuse(code, message));
  }

  /** Ends a run that executes, whatever its agent does. */
  cutOff(): void {
    this.#inOwnContext(() => this.#settle({}));
  }

  #stop(insist: boolean): boolean {
    if (this.#stopRequested || !this.isActive) return false;
    this.#stopRequested = true;
    // Not begun: `#execute` finds the flag and does not begin.
    if (this.#state !== "running") return true;
    this.#enter("stopping");
    if (!this.#abort() && !insist) {
      // The abort may have settled the run before it threw.
      if (this.#isIn("stopping")) {
        this.#stopRequested = false;
        this.#enter("running");
      }
      return false;
    }
    // An abort may settle the run before it returns.
    if (this.#isIn("stopping")) {
      this.#stopTimer = setTimeout(() => this.#settle({}), this.#environment.stopTimeoutMs);
    }
    return true;
  }

  #supersede(): void {
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
    this.#refused = true;
    this.#stream.fail(code, message);
    this.#end();
  }

  /** Reads the input, and takes the thread. */
  async #claim(): Promise<{ readonly input: ReadInput; readonly claim: ClaimOutcome }> {
    const input = readInput(this.#input);
    this.#stream.setInput(input.all);
    return { input, claim: await this.#claimThread(input) };
  }

  /** Asks the store for the thread until it is free, if this run is to wait, or else once. */
  async #claimThread({ messageIds, messageDigests }: ReadInput): Promise<ClaimOutcome> {
    const { store, onConcurrentRun } = this.#environment;
    const waits = onConcurrentRun === "supersede" || onConcurrentRun === "enqueue";
    const agentId = this.#agentId();
    for (;;) {
      const outcome = await store.claim({
        threadId: this.threadId,
        runId: this.runId,
        agentId,
        messageIds,
        messageDigests,
        supersede: onConcurrentRun === "supersede",
        onLost: (error) => this.#inOwnContext(() => this.#lose(error)),
        onStopRequested: ({ discard }) => this.#stopForOther(discard),
      });
      if (outcome.kind === "claimed" || !waits || !this.#isIn("claiming")) return outcome;
      this.#waiting ??= new AbortController();
      await store.released(this.threadId, this.#waiting.signal);
      // Ended while it waited. The store would let this claim take the thread from the run that took
      // this one's place.
      if (!this.#isIn("claiming")) return outcome;
    }
  }

  /** Another process asks; it was told that the run will end, so an agent that refuses is cut off. */
  #stopForOther(discard: boolean): void {
    if (discard) this.supersede();
    else this.stop({ insist: true });
  }

  async #execute(): Promise<void> {
    if (this.#stopRequested) {
      // Stopped before it began: the thread keeps what the user said, and that it was stopped.
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
   * Takes an event of the agent. One that is none, or throws when it is read, fails the run. Nothing is
   * thrown at the agent: it may emit from a timer, where nobody catches.
   */
  #receive(params: { readonly event: EventLike }): void {
    try {
      this.#emit(params.event);
    } catch (error) {
      if (this.#state === "running") this.#abort();
      this.#settle({ error: { message: messageOf(error) } });
    }
  }

  /** Late events, of an agent that was cut off or goes on talking, are fenced. */
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

  /** The agent's id if it has one that can be stored. */
  #agentId(): string | null {
    try {
      const agentId: unknown = this.#agent.agentId;
      return typeof agentId === "string" ? agentId : null;
    } catch {
      // A run does not fail because of a name.
      return null;
    }
  }

  /** Calls the agent's `abortRun`. False when it throws; one that rejects is as one that is ignored. */
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
    // A run that the store has lost was not ended by whoever stopped it.
    this.#stream.close({ stopped: this.#stopRequested && error?.code === undefined, error });
  }

  /** The one way out of running, for success and failure alike: emit the end, store, complete. */
  #settle(outcome: Outcome): void {
    // An agent that was cut off may still end by itself later.
    if (this.#state !== "running" && this.#state !== "stopping") return;
    if (this.#stopTimer !== null) clearTimeout(this.#stopTimer);
    this.#stopTimer = null;
    this.#enter("closing");
    const emitted = this.log.length > 0 || this.#stopRequested;
    this.#close(outcome);
    // The completion is on its way to the store before anyone can claim the thread again.
    const keep = outcome.discard !== true && emitted;
    const stored = this.#claimed === null ? null : this.#hand(this.#claimed, keep);
    this.#enter("settled");
    this.#listener.onSettled(this);
    void Promise.resolve(stored).then(() => this.#end());
  }

  #hand(claimed: ClaimedRun, keep: boolean): Promise<void> {
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
    }
  }

  async #release(claimed: ClaimedRun): Promise<void> {
    try {
      await claimed.release();
    } catch (cause) {
      // Nothing of the run was to be kept, and the thread is freed when the store is next opened.
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
    // Even if that fails, its events are fenced off.
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
    this.#enter("ended");
    this.#waiting?.abort();
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

/** What the client of a run is told that the store cannot keep. */
function unsavedError(error: RunStoreError): { code: RunStoreErrorCode; message: string } {
  const code = error.code === "LEASE_LOST" ? "LEASE_LOST" : "PERSISTENCE_FAILED";
  return { code, message: `The run could not be stored: ${error.message}` };
}
