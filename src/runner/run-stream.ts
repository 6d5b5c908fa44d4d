import { type EventLike, isTerminal } from "../events/event.ts";
import { finalizeRun } from "../events/lifecycle/finalize.ts";
import { OpenParts, unfinished } from "../events/lifecycle/open-parts.ts";
import type { RunStoreErrorCode } from "../protocol/errors.ts";
import type { ClaimedRun } from "../store/run-store.ts";
import type { RunInput } from "./agent.ts";
import { EventLog } from "./event-log.ts";
import type { StoreInput } from "./options.ts";
import { type ClientList, withoutForwardedProps } from "./read-input.ts";

/** How a run ends that its agent did not end itself. */
export interface Closing {
  readonly stopped: boolean;
  readonly error: { readonly message: string; readonly code?: RunStoreErrorCode } | undefined;
}

export interface RunStreamOptions {
  readonly threadId: string;
  readonly runId: string;
  readonly storeInput: StoreInput;
}

/**
 * What one run emits: each event to whoever listens, and to the store once the thread is claimed.
 * Adds what the contract asks of the runner: the input of a RUN_STARTED, and the end of a run.
 */
export class RunStream {
  readonly log = new EventLog();
  readonly #ids: { readonly threadId: string; readonly runId: string };
  readonly #parts = new OpenParts();
  #claimed: ClaimedRun | null = null;
  /** What a RUN_STARTED gets that has no input. */
  #input: RunInput | null = null;
  readonly #storeInput: StoreInput;
  /** What the client's list of messages says, until a RUN_STARTED is stored with it. */
  #clientList: ClientList | null = null;
  /** The first RUN_STARTED: its place in `log`, and what is stored of it. */
  #start: { readonly place: number; readonly stored: EventLike } | null = null;

  constructor({ threadId, runId, storeInput }: RunStreamOptions) {
    this.#ids = { threadId, runId };
    this.#storeInput = storeInput;
  }

  /** `event`, which is in `place` of `log`, as the store has it. */
  storedAt(place: number, event: EventLike): EventLike {
    return this.#start?.place === place ? this.#start.stored : event;
  }

  /** True when the run's last event was a terminal one. */
  get ended(): boolean {
    return this.#parts.ended;
  }

  /** From now on, a RUN_STARTED without an input gets this one. */
  setInput(input: RunInput): void {
    this.#input = input;
  }

  /** From now on, events are stored, the first RUN_STARTED with what the client's list says. */
  attach(claimed: ClaimedRun, clientList: ClientList): void {
    this.#claimed = claimed;
    this.#clientList = clientList;
  }

  /**
   * Emits an event of the agent, in this tick: the same object, or a RUN_STARTED with its input. What is
   * open at a terminal event is closed before it, for clients now as for those that reload.
   */
  emit(event: EventLike): void {
    if (isTerminal(event)) {
      for (const closer of this.#parts.close(unfinished)) this.#add(closer);
    }
    if (event.type !== "RUN_STARTED") {
      this.#add(event);
      return;
    }
    const lacksInput = event.input === undefined || event.input === null;
    this.#addStart(lacksInput ? this.#withInput(event) : event);
  }

  /** Closes what is open and emits the terminal event, unless the agent has emitted one. */
  close({ stopped, error }: Closing): void {
    // Without a RUN_STARTED, a RUN_FINISHED would be no valid stream.
    if (stopped && this.log.length === 0) {
      this.#addStart(this.#withInput({ type: "RUN_STARTED", ...this.#ids }));
    }
    for (const event of finalizeRun(this.#parts, { ...this.#ids, stopped, ...error })) {
      this.#add(event);
    }
  }

  /** Tells whoever listens, and not the store, of an error, where a RUN_ERROR may still stand. */
  fail(code: RunStoreErrorCode, message: string): void {
    const [last] = this.log.slice(this.log.length - 1, this.log.length);
    // RUN_ERROR may follow RUN_FINISHED; a second RUN_ERROR would break the client's stream.
    if (last !== undefined && isTerminal(last) && last.type !== "RUN_FINISHED") return;
    this.log.add({ type: "RUN_ERROR", message, code });
  }

  /** Ends the stream. Ending it twice is ending it once. */
  complete(): void {
    if (!this.log.completed) this.log.complete();
  }

  #withInput(event: EventLike): EventLike {
    return this.#input === null ? event : { ...event, input: this.#input };
  }

  #addStart(event: EventLike): void {
    const { clientMessages = null, whole = null } = this.#clientList ?? {};
    this.#clientList = null;
    let input = this.#storeInput === "full" ? event.input : withoutForwardedProps(event.input);
    if (whole !== null) input = { ...(input as object), messages: whole };
    const isStoredAsEmitted = clientMessages === null && input === event.input;
    const stored = isStoredAsEmitted
      ? event
      : { ...event, input, ...(clientMessages !== null && { clientMessages }) };
    this.#start ??= { place: this.log.length, stored };
    this.#add(event, stored);
  }

  #add(event: EventLike, stored = event): void {
    this.#parts.observe(event);
    this.#claimed?.append(stored);
    this.log.add(event);
  }
}
