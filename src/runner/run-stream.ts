import { type EventLike, isTerminal } from "../events/event.ts";
import { finalizeRun } from "../events/lifecycle/finalize.ts";
import { OpenParts, unfinished } from "../events/lifecycle/open-parts.ts";
import type { RunStoreErrorCode } from "../protocol/errors.ts";
import type { ClaimedRun } from "../store/run-store.ts";
import type { RunInput } from "./agent.ts";
import { EventLog } from "./event-log.ts";
import type { StoreInput } from "./options.ts";
import { type ClientList, withoutForwardedProps } from "./read-input.ts";

/** How a run ends whose agent emitted no terminal event. */
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
 * The stream of one run. Passes each event to the subscribers, and to the store once the thread is
 * claimed. Adds what the contract asks of the runner: the input of a RUN_STARTED, and the end of a run.
 */
export class RunStream {
  readonly log = new EventLog();
  readonly #ids: { readonly threadId: string; readonly runId: string };
  readonly #parts = new OpenParts();
  #claimed: ClaimedRun | null = null;
  /** The input that is added to a RUN_STARTED without an input. */
  #input: RunInput | null = null;
  /** The stored form of `#input`, once it was asked for. */
  #storedInput: unknown = null;
  readonly #storeInput: StoreInput;
  /** The changes in the client's list of messages, until they are stored with a RUN_STARTED. */
  #clientList: ClientList | null = null;
  /** The first RUN_STARTED: its position in `log`, and its stored form. */
  #start: { readonly place: number; readonly stored: EventLike } | null = null;

  constructor({ threadId, runId, storeInput }: RunStreamOptions) {
    this.#ids = { threadId, runId };
    this.#storeInput = storeInput;
  }

  /** The stored form of `event`, which is at the position `place` of `log`. */
  storedAt(place: number, event: EventLike): EventLike {
    return this.#start?.place === place ? this.#start.stored : event;
  }

  /** True when the run's last event was a terminal one. */
  get ended(): boolean {
    return this.#parts.ended;
  }

  /** From now on, a RUN_STARTED without an input gets this input. */
  setInput(input: RunInput): void {
    this.#input = input;
    this.#storedInput = null;
  }

  /** An input as it is stored with a RUN_STARTED. */
  storedFormOf(input: unknown): unknown {
    if (this.#storeInput === "full") return input;
    if (input !== this.#input) return withoutForwardedProps(input);
    this.#storedInput ??= withoutForwardedProps(input);
    return this.#storedInput;
  }

  /**
   * From now on, events are stored. The first RUN_STARTED is stored with the changes in `clientList`.
   */
  attach(claimed: ClaimedRun, clientList: ClientList): void {
    this.#claimed = claimed;
    this.#clientList = clientList;
  }

  /**
   * Emits an event of the agent in this tick: the same object, or a copy of a RUN_STARTED with an
   * input. Parts that are open at a terminal event are closed before it, as they are stored.
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

  /** The stored form of the RUN_STARTED of a run whose agent has emitted nothing yet. */
  get storedStart(): EventLike {
    return this.#storedStart(this.#withInput({ type: "RUN_STARTED", ...this.#ids }));
  }

  /** Closes the open parts and emits a terminal event, unless the agent has emitted a terminal event. */
  close({ stopped, error }: Closing): void {
    // A stream with RUN_FINISHED is valid only after a RUN_STARTED.
    if (stopped && this.log.length === 0) {
      this.#addStart(this.#withInput({ type: "RUN_STARTED", ...this.#ids }));
    }
    for (const event of finalizeRun(this.#parts, { ...this.#ids, stopped, ...error })) {
      this.#add(event);
    }
  }

  /** Emits a RUN_ERROR to the subscribers, not to the store. Does nothing after another RUN_ERROR. */
  fail(code: RunStoreErrorCode, message: string): void {
    const [last] = this.log.slice(this.log.length - 1, this.log.length);
    // A client accepts RUN_ERROR after RUN_FINISHED. A second RUN_ERROR would break its stream.
    if (last !== undefined && isTerminal(last) && last.type !== "RUN_FINISHED") return;
    this.log.add({ type: "RUN_ERROR", message, code });
  }

  /** Completes the stream. A second call does nothing. */
  complete(): void {
    if (!this.log.completed) this.log.complete();
  }

  #withInput(event: EventLike): EventLike {
    return this.#input === null ? event : { ...event, input: this.#input };
  }

  #addStart(event: EventLike): void {
    const stored = this.#storedStart(event);
    this.#clientList = null;
    this.#start ??= { place: this.log.length, stored };
    this.#add(event, stored);
  }

  #storedStart(event: EventLike): EventLike {
    const { clientMessages = null, whole = null } = this.#clientList ?? {};
    let input = this.storedFormOf(event.input);
    if (whole !== null) input = { ...(input as object), messages: whole };
    const withInput = input === event.input ? event : { ...event, input };
    return clientMessages === null ? withInput : { ...withInput, clientMessages };
  }

  #add(event: EventLike, stored = event): void {
    this.#parts.observe(event);
    this.#claimed?.append(stored);
    this.log.add(event);
  }
}
