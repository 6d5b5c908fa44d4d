import jsonPatch, { type Operation } from "fast-json-patch";
import type { EventLike } from "../event.ts";
import { hasPlainMetadata, type MergedEvent, mergeMetadata, RawEvents } from "./merge-fields.ts";

/** Folds the state events of a run into one STATE_SNAPSHOT that leaves the same state behind. */
export class StateFold {
  #pending: EventLike[] = [];
  /** What state is as far as it is known: undefined until an event or the caller tells. */
  #state: unknown;
  #inputState: unknown;

  constructor(baseState: unknown) {
    this.#state = baseState;
  }

  /** Where deltas start from if nothing else says. */
  startRun(runStarted: EventLike): void {
    const { input } = runStarted;
    this.#inputState =
      typeof input === "object" && input !== null
        ? (input as { state?: unknown }).state
        : undefined;
  }

  add(event: EventLike): void {
    this.#pending.push(event);
  }

  /** Appends what the events since the last flush come to. */
  flush(out: EventLike[]): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    this.#pending = [];
    const lastSnapshot = pending.findLastIndex((event) => event.type === "STATE_SNAPSHOT");
    if (lastSnapshot >= 0) this.#state = pending[lastSnapshot]?.snapshot;
    if (lastSnapshot >= 0 && pending.length === 1) {
      for (const event of pending) out.push(event);
      return;
    }
    const document = new PatchedDocument(this.#startState());
    for (let index = lastSnapshot + 1; index < pending.length; index++) {
      document.apply(pending[index]?.delta);
    }
    // Deltas that do not fit what we took for the state say nothing about it. A snapshot made of
    // a guess would wipe what the client has.
    if (lastSnapshot < 0 && !document.changed) {
      for (const event of pending) out.push(event);
      return;
    }
    if (document.changed) this.#state = document.value;
    // A client goes on from a state that is null, zero, false or "", and yet keeps the one before it.
    const isHeld = pending.every(({ type, snapshot }) => type !== "STATE_SNAPSHOT" || snapshot);
    if (isHeld && this.#state) out.push(snapshotOf(this.#state, pending));
    else for (const event of pending) out.push(event);
  }

  #startState(): unknown {
    if (this.#state !== undefined) return this.#state;
    return this.#inputState === undefined ? {} : this.#inputState;
  }
}

function snapshotOf(snapshot: unknown, sources: readonly EventLike[]): EventLike {
  const event: MergedEvent = { type: "STATE_SNAPSHOT", snapshot };
  const rawEvents = new RawEvents();
  let metadata: unknown;
  for (const source of sources) {
    if (hasPlainMetadata(source)) metadata = mergeMetadata(metadata, source.metadata);
    rawEvents.add(source.rawEvent);
  }
  const last = sources.at(-1);
  if (last?.timestamp !== undefined) event.timestamp = last.timestamp;
  // Who produced the state can be said only if it was one.
  const owner = last?.subagentRunId;
  if (owner !== undefined && sources.every((source) => source.subagentRunId === owner)) {
    event.subagentRunId = owner;
  }
  if (metadata !== undefined) event.metadata = metadata;
  if (rawEvents.value !== undefined) event.rawEvent = rawEvents.value;
  return event;
}

/**
 * A JSON document that takes patches whole or not at all. Patches are applied in place, to a copy
 * of ours, as a copy for each would cost the size of the state every time; what a failed patch has
 * left half done is undone by starting over.
 */
class PatchedDocument {
  readonly #applied: string[] = [];
  #base: unknown;
  #value: unknown;
  #copied = false;
  #changed = false;

  constructor(base: unknown) {
    this.#base = base;
    this.#value = base;
  }

  get changed(): boolean {
    return this.#changed;
  }

  get value(): unknown {
    return this.#value;
  }

  /** Skips a patch that does not apply, as a client's reducer does. */
  apply(patch: unknown): void {
    let json: string;
    try {
      if (!this.#copied) {
        this.#value = copyJson(this.#base);
        this.#copied = true;
      }
      json = JSON.stringify(patch);
      this.#value = applied(this.#value, json);
    } catch {
      this.#startOver();
      return;
    }
    this.#applied.push(json);
    this.#changed = true;
  }

  #startOver(): void {
    if (!this.#copied) return;
    let value = copyJson(this.#base);
    for (const json of this.#applied) value = applied(value, json);
    // From here, so that the next failure costs no more than what came since.
    if (this.#applied.length > 0) {
      this.#applied.length = 0;
      this.#base = copyJson(value);
    }
    this.#value = value;
  }
}

// From JSON each time: operations keep references to the values that they carry.
function applied(document: unknown, patchJson: string): unknown {
  const patch = JSON.parse(patchJson) as Operation[];
  for (const { op, path, ...rest } of patch) {
    // RFC 6902 forbids it, the library does not: the document would contain itself.
    if (op === "move" && path !== "" && "from" in rest && rest.from === "") {
      throw new TypeError("The root cannot be moved into itself");
    }
  }
  const { newDocument } = jsonPatch.applyPatch(document, patch, true, true, true);
  // Moving what is not there to the root passes validation.
  if (newDocument === undefined) throw new TypeError("The patch leaves no document");
  return newDocument;
}

function copyJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
