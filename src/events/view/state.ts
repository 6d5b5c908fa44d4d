import type { EventLike } from "../event.ts";
import { isFields } from "./message.ts";
import { applyPatch } from "./patch.ts";

/**
 * The state of a view. A client applies the events of a run to a copy of its own, `inRun`, and takes
 * from it whatever is not null, false, zero or an empty string.
 */
export class ViewState {
  #held: unknown;
  #inRun: unknown;

  constructor(held: unknown, inRun: unknown = held) {
    this.#held = held;
    this.#inRun = inRun;
  }

  /** What the client holds. */
  get held(): unknown {
    return this.#held;
  }

  /** What the next delta applies to. */
  get inRun(): unknown {
    return this.#inRun;
  }

  /** Applies the next event of the thread. */
  apply(event: EventLike): void {
    switch (event.type) {
      case "STATE_SNAPSHOT":
        this.#applySnapshot(event);
        break;
      case "STATE_DELTA":
        this.#applyDelta(event);
        break;
      case "RUN_STARTED":
        // A run starts from what the client holds.
        this.#inRun = this.#held;
    }
  }

  /**
   * Takes the state that the client sent with the input of its run. An empty object says nothing: some
   * clients always send it.
   */
  takeFromClient({ input }: EventLike): void {
    const state = isFields(input) ? input.state : undefined;
    if (isFields(state) && Object.keys(state).length === 0) return;
    if (state) this.#set(state);
  }

  #applySnapshot(event: EventLike): void {
    if (event.snapshot === undefined) this.#inRun = null;
    else this.#set(event.snapshot);
  }

  /** A delta that does not apply as a whole has no effect. */
  #applyDelta(event: EventLike): void {
    const patched = applyPatch(this.#inRun, event.delta);
    // A patch may leave no document. The next one then starts from null.
    if (patched !== undefined) this.#set(patched.document ?? null);
  }

  #set(state: unknown): void {
    this.#inRun = state;
    if (state) this.#held = state;
  }
}
