import type { BaseEvent } from "@ag-ui/core";
import type { Observable } from "rxjs";
import {
  messageOf,
  type RunStoreError,
  type RunStoreErrorCode,
  toRunStoreError,
} from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { ClaimedRun, ClaimOutcome, RunStore } from "../store/run-store.ts";
import type { AgentInput, RunRequest } from "./agent.ts";
import type { EventLog } from "./event-log.ts";
import type { OnConcurrentRun } from "./options.ts";
import { messageIdOf, RunStream } from "./run-stream.ts";

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
  readonly storeInput: "new-messages" | "full";
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
  readonly #request: RunRequest;
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

  constructor(request: RunRequest, environment: RunEnvironment, listener: RunListener) {
    this.threadId = request.threadId;
    this.runId = request.input.runId;
    this.#request = request;
    this.#environment = environment;
    this.#listener = listener;
    this.#stream = new RunStream(request.threadId, request.input);
    this.#state = "waiting";
  }

  /** What `run` returns: everything the run emits, from its first event, to whoever asks. */
  get events(): Observable<BaseEvent> {
    return this.#stream.log.from();
  }

  /** The same for a replay, which takes the events that are there already in small pieces. */
  get log(): EventLog {
    return this.#stream.log;
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
  async start(): Promise<void> {
    this.#enter("claiming");
    const { storeInput } = this.#environment;
    const { input } = this.#request;
    let claim: ClaimOutcome;
    try {
      claim = await this.#claim();
    } catch (cause) {
      const error = toRunStoreError(cause);
      this.refuse(error.code, error.message);
      return;
    }
    // Superseded or closed while the store was asked.
    if (this.#state !== "claiming") {
      if (claim.kind === "claimed") await this.#release(claim.run);
      return;
    }
    if (claim.kind === "refused") {
      this.refuse(claim.code, claim.message);
      return;
    }
    this.#claimed = claim.run;
    this.#stream.attach(claim.run, claim.seen);
    claim.run.setInput(storeInput === "full" ? input : this.#stream.newInput);
    this.#enter("running");
    await this.#execute();
  }

  /**
   * Tells the agent to abort. False when there is nothing to stop or the agent refuses; one that
   * refuses and is insisted on is cut off like one that ignores it.
   */
  stop({ insist = false } = {}): boolean {
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

  /** Ends the run at once, for another to take its place: its output is not stored. */
  supersede(): void {
    if (this.#state === "waiting" || this.#state === "claiming") {
      this.#stopRequested = true;
      this.#close({});
      this.#end();
      return;
    }
    this.stop();
    this.#stopRequested = true;
    if (this.isActive) this.#settle({ discard: true });
  }

  /** Ends a run whose agent has not begun with one RUN_ERROR. */
  refuse(code: RunStoreErrorCode, message: string): void {
    if (this.#state !== "waiting" && this.#state !== "claiming") return;
    this.#refused = true;
    this.#stream.fail(code, message);
    this.#end();
  }

  /** Asks the store for the thread until it is free, if this run is to wait, or else once. */
  async #claim(): Promise<ClaimOutcome> {
    const { store, onConcurrentRun } = this.#environment;
    const { input, agent } = this.#request;
    const messages = Array.isArray(input.messages) ? input.messages : [];
    const waits = onConcurrentRun === "supersede" || onConcurrentRun === "enqueue";
    for (;;) {
      const outcome = await store.claim({
        threadId: this.threadId,
        runId: this.runId,
        agentId: agent.agentId ?? null,
        messageIds: messages.map((message) => messageIdOf(message)),
        supersede: onConcurrentRun === "supersede",
        onLost: (error) => this.#lose(error),
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
      await this.#request.agent.runAgent(this.#request.input as AgentInput, {
        onEvent: ({ event }) => this.#receive(event),
        onNewMessage() {},
        onRunStartedEvent() {},
      });
      this.#settle({});
    } catch (error) {
      this.#settle({ error: { message: messageOf(error) } });
    }
  }

  /** An event of the agent. Late ones, of an agent that was cut off or goes on talking, are fenced. */
  #receive(event: BaseEvent): void {
    const late = this.#state !== "running" && this.#state !== "stopping";
    if (late || (this.#stream.ended && event.type !== "RUN_STARTED")) {
      if (!this.#warnedLate) {
        this.#warnedLate = true;
        this.#environment.logger.warn(
          { threadId: this.threadId, runId: this.runId, type: event.type },
          "the agent emitted events after its run had ended; they are ignored",
        );
      }
      return;
    }
    this.#stream.emit(event);
  }

  /** Calls the agent's `abortRun`. False when it throws. */
  #abort(): boolean {
    try {
      this.#request.agent.abortRun();
      return true;
    } catch (error) {
      this.#report("error", error, "the agent's abortRun threw");
      return false;
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
        this.#reportUnsaved(error);
        this.#stream.complete();
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
    // Even if that fails, its events are fenced off.
    this.#abort();
    this.#settle({ error: unsavedError(error) });
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
