import { isDeepStrictEqual } from "node:util";
import { callKeysOf } from "../client-messages.ts";
import type { EventLike } from "../event.ts";
import type { Message } from "../view/message.ts";
import type { ViewState } from "../view/state.ts";
import { type StoredView, ThreadView } from "../view/thread-view.ts";
import { shownStart } from "./shown-input.ts";

/** Messages that are indexed, or compared, in one task. */
const MESSAGES_PER_TASK = 500;

/**
 * Long work in parts, between which the caller may give other work its turn. No event may come in
 * between. A part yields an event that the caller has to emit, or null.
 */
export type InParts<Yielded = null> = Generator<Yielded, void, undefined>;

/**
 * Corrects a replay, so that its client gets the view of the thread. Without corrections, the client
 * would miss two things: the snapshots that the replay leaves out, and the changes in a client's list
 * of messages and state, which no event has.
 *
 * There are two views: the client's view after the emitted events, and the view of the thread. They
 * differ after a RUN_STARTED with such changes, and after events that were left out. `corrections`
 * makes them equal again, with at most one STATE_SNAPSHOT and two MESSAGES_SNAPSHOTs.
 *
 * CopilotKit's core client holds more than that view. When a run ends, it puts the result of a tool call
 * back that a snapshot of the run left out: it finds the result among the run's events. So corrections
 * repeat such results before their snapshot. Other clients drop them with the snapshot, as they did live.
 * Source: `StateManager.subscribeToAgent` of `@copilotkit/core` 1.75.
 */
export class ReplayView {
  #shown = new ThreadView();
  /** The view of the thread. Null while the messages of the client's view are the same. */
  #true: ThreadView | null = null;
  /** The state of the thread, where it alone may differ: a second list of messages would be long. */
  #trueState: ViewState | null = null;
  /** Whether the events that come to `show` are corrections of the messages. */
  #isReplacing = false;
  /** The last result of each tool call that the client was shown. */
  readonly #results = new Map<unknown, EventLike>();

  /** Sets the view of the thread. */
  *expect(view: StoredView): InParts {
    const { messages, ...rest } = view;
    const expected = new ThreadView(rest);
    for (let at = 0; at < messages.length; at += MESSAGES_PER_TASK) {
      if (at > 0) yield null;
      expected.hold(messages.slice(at, at + MESSAGES_PER_TASK));
    }
    this.#true = expected;
    this.#trueState = null;
  }

  /** A stored RUN_STARTED as it is to be shown. */
  shownOf(stored: EventLike): EventLike {
    return shownStart(stored, (id) => this.#shown.has(id));
  }

  /** Takes what a stored RUN_STARTED says that is not shown. */
  takeStart(stored: EventLike): void {
    if (this.#true === null && stored.clientMessages !== undefined) this.#separate();
    if (this.#true !== null) {
      this.#true.applyStored(stored);
    } else if (hasState(stored)) {
      this.#trueState ??= this.#shown.copyOfState();
      this.#trueState.takeFromClient(stored);
    }
  }

  /** Takes the next event that the client is shown. */
  show(event: EventLike): void {
    // The client's view becomes the view of the thread: it need not be computed.
    if (this.#isReplacing && event.type !== "RUN_STARTED") return;
    this.#true?.apply(event);
    this.#trueState?.apply(event);
    this.#shown.apply(event);
    if (event.type === "TOOL_CALL_RESULT") this.#results.set(event.toolCallId, event);
  }

  /** The events that give the client the view of the thread. Each has to come to `show` at once. */
  *corrections(): InParts<EventLike | null> {
    const expected = this.#true;
    if (expected === null) {
      if (this.#trueState !== null) yield* this.#correctState(this.#trueState.held);
      this.#trueState = null;
      return;
    }
    yield* this.#correctState(expected.state);
    // Messages that cannot be shown may be followed by those that can.
    if (!expected.isShowable) return;
    const messages = expected.messages;
    if (!(yield* areEqual(messages, this.#shown.messages))) {
      this.#isReplacing = true;
      yield* this.#resultsLeftOutOf(messages);
      yield* this.#snapshotsOf(messages, expected);
      this.#isReplacing = false;
      this.#shown = expected;
    }
    this.#true = null;
  }

  /** Begins a view of the thread that is not the client's. */
  #separate(): void {
    const state = this.#trueState;
    const ofThread = state === null ? {} : { state: state.held, inRunState: state.inRun };
    this.#true = new ThreadView({ ...this.#shown.toJSON(), ...ofThread });
    this.#trueState = null;
  }

  *#correctState(state: unknown): InParts<EventLike> {
    if (isDeepStrictEqual(state, this.#shown.state)) return;
    yield { type: "STATE_SNAPSHOT", snapshot: state };
  }

  /**
   * The snapshots after which a client has `messages`. For a snapshot, a client does not move messages,
   * and keeps activities and reasoning if the snapshot has none. So a first snapshot of placeholders
   * may have to clear the list. It cannot clear activities where `messages` has none, nor reasoning.
   */
  *#snapshotsOf(messages: readonly Message[], expected: ThreadView): InParts<EventLike | null> {
    if (!this.#shown.becomes(expected)) {
      yield { type: "MESSAGES_SNAPSHOT", messages: placeholdersFor(messages) };
    }
    // Whoever takes a long snapshot needs a while for it.
    yield null;
    yield { type: "MESSAGES_SNAPSHOT", messages };
  }

  /** The results that the client was shown of calls that `messages` make and do not answer. */
  #resultsLeftOutOf(messages: readonly Message[]): readonly EventLike[] {
    if (this.#results.size === 0) return [];
    const calls = new Set(messages.flatMap((message) => callKeysOf(message)));
    return [...this.#results.values()]
      .filter(({ toolCallId: id }) => calls.has(`makes ${id}`) && !calls.has(`answers ${id}`))
      .map(({ type, messageId, toolCallId, content }) => ({
        type,
        messageId,
        toolCallId,
        content,
      }));
  }
}

/** Whether a RUN_STARTED has a state of the client, which a client's reducer ignores. */
function hasState({ input }: EventLike): boolean {
  const { state } = (input ?? {}) as { state?: unknown };
  return typeof state === "object" && state !== null
    ? Object.keys(state).length > 0
    : Boolean(state);
}

function placeholdersFor(messages: readonly Message[]): readonly Message[] {
  const has = (role: string) => messages.some((message) => message.role === role);
  return [
    ...(has("activity")
      ? [{ id: "placeholder-activity", role: "activity", activityType: "PLACEHOLDER", content: {} }]
      : []),
    ...(has("reasoning") ? [{ id: "placeholder-reasoning", role: "reasoning", content: "" }] : []),
  ];
}

function* areEqual(
  one: readonly Message[],
  other: readonly Message[],
): Generator<null, boolean, undefined> {
  if (one.length !== other.length) return false;
  let compared = 0;
  for (const [at, message] of one.entries()) {
    if (message === other[at]) continue;
    if (++compared % MESSAGES_PER_TASK === 0) yield null;
    if (!isDeepStrictEqual(message, other[at])) return false;
  }
  return true;
}
