import { isDeepStrictEqual } from "node:util";
import { callKeysOf } from "../client-messages.ts";
import type { EventLike } from "../event.ts";
import type { Message } from "../view/message.ts";
import { type StoredView, ThreadView } from "../view/thread-view.ts";
import { shownStart } from "./shown-input.ts";

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
  /** The view of the thread. Null while the client's view equals it. */
  #true: ThreadView | null = null;
  /** The last result of each tool call that the client was shown. */
  readonly #results = new Map<unknown, EventLike>();

  /** Sets the view of the thread. */
  expect(view: StoredView): void {
    this.#true = new ThreadView(view);
  }

  /** Takes a RUN_STARTED as it is stored, and returns it as it is to be shown. */
  begin(stored: EventLike): EventLike {
    if (saysMore(stored)) this.#true ??= new ThreadView(this.#shown.toJSON());
    this.#true?.applyStored(stored);
    return shownStart(stored, (id) => this.#shown.has(id));
  }

  /** Takes the next event that the client is shown. */
  show(event: EventLike): void {
    this.#true?.apply(event);
    this.#shown.apply(event);
    if (event.type === "TOOL_CALL_RESULT") this.#results.set(event.toolCallId, event);
  }

  /**
   * The events that give the client the view of the thread. The caller has to pass them to `show` next.
   */
  corrections(): readonly EventLike[] {
    if (this.#true === null) return [];
    const { messages, state } = this.#true;
    const corrections: EventLike[] = [];
    if (!isDeepStrictEqual(state, this.#shown.state)) {
      corrections.push({ type: "STATE_SNAPSHOT", snapshot: state });
    }
    // Messages that cannot be shown may be followed by those that can.
    if (!isShowable(messages)) return corrections;
    if (!areEqual(messages, this.#shown.messages)) {
      corrections.push(...this.#resultsLeftOutOf(messages), ...this.#snapshotsOf(messages));
    }
    this.#true = null;
    return corrections;
  }

  /**
   * The snapshots after which a client has `messages`. For a snapshot, a client does not move messages,
   * and keeps activities and reasoning if the snapshot has none. So a first snapshot of placeholders
   * may have to clear the list. It cannot clear activities where `messages` has none, nor reasoning.
   */
  #snapshotsOf(messages: readonly Message[]): readonly EventLike[] {
    const snapshot = { type: "MESSAGES_SNAPSHOT", messages };
    const after = new ThreadView(this.#shown.toJSON());
    after.apply(snapshot);
    if (areEqual(messages, after.messages)) return [snapshot];
    return [{ type: "MESSAGES_SNAPSHOT", messages: placeholdersFor(messages) }, snapshot];
  }

  /** The results that the client was shown of calls that `messages` make and do not answer. */
  #resultsLeftOutOf(messages: readonly Message[]): readonly EventLike[] {
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

/** Whether a RUN_STARTED has changes that a client's reducer ignores. */
function saysMore({ clientMessages, input }: EventLike): boolean {
  if (clientMessages !== undefined) return true;
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

/** Clients refuse a snapshot with a message that has no id, and make one message of two of one id. */
function isShowable(messages: readonly Message[]): boolean {
  const ids = new Set(messages.map(({ id }) => id));
  return ids.size === messages.length && messages.every(({ id }) => typeof id === "string");
}

function areEqual(one: readonly Message[], other: readonly Message[]): boolean {
  return (
    one.length === other.length &&
    one.every((message, at) => message === other[at] || isDeepStrictEqual(message, other[at]))
  );
}
