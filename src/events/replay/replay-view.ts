import { isDeepStrictEqual } from "node:util";
import type { EventLike } from "../event.ts";
import type { Message } from "../view/message.ts";
import { type StoredView, ThreadView } from "../view/thread-view.ts";
import { shownStart } from "./shown-input.ts";

/**
 * Follows what a replay shows, and corrects it: a client that is given the replay is to come to the view
 * of the thread, though the replay leaves out snapshots, and though no event says what a client's list of
 * messages and its state said.
 *
 * There are two views: what the client holds after what was emitted, and what it is to hold. They differ
 * behind a RUN_STARTED with a list or a state of its own, and behind events that were left out. Then
 * `corrections` makes them equal again, with at most one STATE_SNAPSHOT and two MESSAGES_SNAPSHOTs.
 */
export class ReplayView {
  #shown = new ThreadView();
  /** What the client is to hold. Null while that is what it holds. */
  #true: ThreadView | null = null;

  /** The client is to hold `view`, whatever it was shown. */
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
  }

  /** The events that bring the client to what it is to hold: `show` is to be given them next. */
  corrections(): readonly EventLike[] {
    if (this.#true === null) return [];
    const { messages, state } = this.#true;
    const corrections: EventLike[] = [];
    if (!isDeepStrictEqual(state, this.#shown.state)) {
      corrections.push({ type: "STATE_SNAPSHOT", snapshot: state });
    }
    // Messages that cannot be shown may be followed by those that can.
    if (!isShowable(messages)) return corrections;
    if (!areEqual(messages, this.#shown.messages)) corrections.push(...this.#snapshotsOf(messages));
    this.#true = null;
    return corrections;
  }

  /**
   * Snapshots that lead to `messages`. A client leaves messages where they stand, and keeps activities
   * and reasoning if a snapshot has none. So a first snapshot, of placeholders, may have to clear the list.
   * It cannot clear activities that are no more where `messages` has none, nor such reasoning.
   */
  #snapshotsOf(messages: readonly Message[]): readonly EventLike[] {
    const snapshot = { type: "MESSAGES_SNAPSHOT", messages };
    const after = new ThreadView(this.#shown.toJSON());
    after.apply(snapshot);
    if (areEqual(messages, after.messages)) return [snapshot];
    return [{ type: "MESSAGES_SNAPSHOT", messages: placeholdersFor(messages) }, snapshot];
  }
}

/** Whether a RUN_STARTED says what no client's reducer takes from it. */
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
