import type { EventLike } from "../event.ts";
import { applyActivityDelta, applyActivitySnapshot } from "./activities.ts";
import { ChunkExpander, isOpenChunks, type OpenChunks } from "./chunks.ts";
import { applyClientMessages } from "./client-list.ts";
import { interruptsAfter } from "./interrupts.ts";
import { isFields, type Message } from "./message.ts";
import { MessageList } from "./message-list.ts";
import { applyEncryptedValue, applyReasoningMessage } from "./reasoning.ts";
import { applyMessagesSnapshot, applyRunStarted, snapshotGives } from "./snapshots.ts";
import { ViewState } from "./state.ts";
import { applyTextMessage } from "./text-messages.ts";
import { applyToolCall, applyToolCallResult } from "./tool-calls.ts";

/** What a client holds of a thread. */
export interface View {
  readonly messages: readonly Message[];
  readonly state: unknown;
  /** The interrupts that the next run has to answer. */
  readonly pendingInterrupts: readonly unknown[];
}

/** A view as JSON holds it, with what the next events need to be applied. */
export interface StoredView extends View {
  /** Raised when a change of the reducer makes stored views wrong. */
  readonly version: 1;
  /** What the next STATE_DELTA applies to, where that is not `state`. */
  readonly inRunState?: unknown;
  readonly openChunks: readonly OpenChunks[];
}

/**
 * What events do to the messages. All others do nothing: steps, subagents, spans of reasoning,
 * THINKING_*, CUSTOM, RAW, and events of unknown types.
 */
const changesOfMessages = new Map<string, (list: MessageList, event: EventLike) => void>([
  ["TEXT_MESSAGE_START", applyTextMessage],
  ["TEXT_MESSAGE_CONTENT", applyTextMessage],
  ["TEXT_MESSAGE_END", applyTextMessage],
  ["TOOL_CALL_START", applyToolCall],
  ["TOOL_CALL_ARGS", applyToolCall],
  ["TOOL_CALL_END", applyToolCall],
  ["TOOL_CALL_RESULT", applyToolCallResult],
  ["REASONING_MESSAGE_START", applyReasoningMessage],
  ["REASONING_MESSAGE_CONTENT", applyReasoningMessage],
  ["REASONING_MESSAGE_END", applyReasoningMessage],
  ["REASONING_ENCRYPTED_VALUE", applyEncryptedValue],
  ["ACTIVITY_SNAPSHOT", applyActivitySnapshot],
  ["ACTIVITY_DELTA", applyActivityDelta],
  ["MESSAGES_SNAPSHOT", applyMessagesSnapshot],
  ["RUN_STARTED", applyRunStarted],
]);

/** The view of a client that has seen `events`, of one run or more. */
export function viewOf(events: Iterable<EventLike>): ThreadView {
  const view = new ThreadView();
  for (const event of events) view.apply(event);
  return view;
}

/**
 * The view of a thread: what a client of `@ag-ui/client` 0.0.59 holds after the events of its runs.
 * An event of a wrong shape has no effect. The order of events is not checked.
 *
 * The view shares objects with the events that it was given and with the views that it gave out. It
 * never changes them, and nobody else may.
 */
export class ThreadView implements View {
  readonly #list: MessageList;
  readonly #state: ViewState;
  readonly #chunks: ChunkExpander;
  #pendingInterrupts: readonly unknown[];

  /** The view of a client that holds `start`, by default nothing. */
  constructor(start: Partial<StoredView> = {}) {
    const { messages = [], state = {}, pendingInterrupts = [], openChunks = [] } = start;
    const inRunState = Object.hasOwn(start, "inRunState") ? start.inRunState : state;
    this.#list = new MessageList(messages);
    this.#state = new ViewState(state, inRunState);
    this.#chunks = new ChunkExpander(openChunks);
    this.#pendingInterrupts = pendingInterrupts;
  }

  /** Goes on where `toJSON` of a view was taken. Undefined if `stored` is no view of this version. */
  static restore(stored: unknown): ThreadView | undefined {
    return isStoredView(stored) ? new ThreadView(stored) : undefined;
  }

  /**
   * Adds messages behind those that the view holds. A long view is made from parts of its messages, one
   * in each task.
   */
  hold(messages: readonly Message[]): void {
    for (const message of messages) this.#list.append(message);
  }

  /** Clients refuse a snapshot with a message that has no id, and make one message of two of one id. */
  get isShowable(): boolean {
    return this.#list.isShowable;
  }

  /**
   * Whether a client of this view has the messages of `next` after a MESSAGES_SNAPSHOT of them. A client
   * does not move the messages that it has, and keeps activities and reasoning if the snapshot has none.
   * `next` has to be showable.
   */
  becomes(next: ThreadView): boolean {
    return snapshotGives(this.#list, next.#list);
  }

  /** A new list at each call: the cost grows with the number of messages. */
  get messages(): Message[] {
    return this.#list.toArray();
  }

  /** Whether there is a message of this id. */
  has(id: unknown): boolean {
    return this.#list.find(id) !== undefined;
  }

  get state(): unknown {
    return this.#state.held;
  }

  /** The state as it is now, to be changed apart from this view. */
  copyOfState(): ViewState {
    return new ViewState(this.#state.held, this.#state.inRun);
  }

  get pendingInterrupts(): readonly unknown[] {
    return this.#pendingInterrupts;
  }

  /** What to store, as it is now: events that are applied later do not change it. */
  toJSON(): StoredView {
    const { held, inRun } = this.#state;
    return {
      version: 1,
      messages: this.messages,
      state: held,
      pendingInterrupts: this.#pendingInterrupts,
      openChunks: this.#chunks.open,
      ...(inRun !== held && { inRunState: inRun }),
    };
  }

  /** Applies the next event of the thread. Never throws for what JSON can hold. */
  apply(event: EventLike): void {
    if (!isFields(event)) return;
    for (const whole of this.#chunks.expand(event)) this.#applyWhole(whole);
  }

  /**
   * Applies the next event as the store has it. A RUN_STARTED says there what the client's list of
   * messages and its state were when it asked for the run: the view is what that client held.
   */
  applyStored(event: EventLike): void {
    if (isFields(event) && event.type === "RUN_STARTED") {
      applyClientMessages(this.#list, event);
      this.#state.takeFromClient(event);
    }
    this.apply(event);
  }

  #applyWhole(event: EventLike): void {
    changesOfMessages.get(event.type)?.(this.#list, event);
    this.#state.apply(event);
    if (event.type === "RUN_FINISHED") this.#pendingInterrupts = interruptsAfter(event);
  }
}

function isStoredView(value: unknown): value is StoredView {
  return (
    isFields(value) &&
    value.version === 1 &&
    isListOf(isFields, value.messages) &&
    isListOf(isOpenChunks, value.openChunks) &&
    Array.isArray(value.pendingInterrupts) &&
    value.state !== undefined
  );
}

function isListOf(isItem: (item: unknown) => boolean, value: unknown): boolean {
  return Array.isArray(value) && value.every(isItem);
}
