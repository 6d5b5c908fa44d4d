import jsonPatch, { type Operation } from "fast-json-patch";
import type { EventLike } from "../event.ts";
import { hasPlainMetadata, type MergedEvent, mergeMetadata, RawEvents } from "./merge-fields.ts";

/** Folds the state events of a run into one STATE_SNAPSHOT with the same resulting state. */
export class StateFold {
  #pending: EventLike[] = [];
  /** The state, as far as it is known. Undefined until an event or the caller gives it. */
  #state: unknown;
  #inputState: unknown;

  constructor(baseState: unknown) {
    this.#state = baseState;
  }

  /** Takes the state of the run's input: deltas start from it if no other state is known. */
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

  /** Appends the result of the events since the last flush. */
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
    // No delta fitted the assumed state, so the assumption was wrong. A snapshot of it would replace the
    // client's real state.
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
  // The snapshot names a subagent only if all its events come from that subagent.
  const owner = last?.subagentRunId;
  if (owner !== undefined && sources.every((source) => source.subagentRunId === owner)) {
    event.subagentRunId = owner;
  }
  if (metadata !== undefined) event.metadata = metadata;
  if (rawEvents.value !== undefined) event.rawEvent = rawEvents.value;
  return event;
}

/**
 * A JSON document to which each patch is applied whole or not at all.
 *
 * Patches are applied in place, to a private copy: a copy per patch would cost the size of the state
 * each time. After a patch that failed half-way, the document is built again without that patch.
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
    // Start from here next time: the next failure then repeats only the later patches.
    if (this.#applied.length > 0) {
      this.#applied.length = 0;
      this.#base = copyJson(value);
    }
    this.#value = value;
  }
}

/**
 * Applies a patch in place. It is parsed each time, because operations keep references to their values.
 */
function applied(document: unknown, patchJson: string): unknown {
  const patch = JSON.parse(patchJson) as Operation[];
  for (const { op, path, ...rest } of patch) {
    // RFC 6902 forbids this move, but the library allows it: the document would contain itself.
    if (op === "move" && path !== "" && "from" in rest && rest.from === "") {
      throw new TypeError("The root cannot be moved into itself");
    }
  }
  const { newDocument } = jsonPatch.applyPatch(document, patch, true, true, true);
  // The library accepts a move of a missing value to the root.
  if (newDocument === undefined) throw new TypeError("The patch leaves no document");
  return newDocument;
}

function copyJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
