import jsonPatch, { type Operation } from "fast-json-patch";
import type { EventLike } from "../event.ts";
import { hasPlainMetadata, type MergedEvent, mergeMetadata, RawEvents } from "./merge-fields.ts";

/**
 * Folds the state events of a run into one event with the same resulting state: a STATE_SNAPSHOT or, where it is
 * not known from which state the client goes on, a STATE_DELTA.
 */
export class StateFold {
  #pending: EventLike[] = [];
  /** The state, as far as it is known. Undefined until an event or the caller gives it. */
  #state: unknown;
  #inputState: unknown;

  constructor(baseState: unknown) {
    this.#state = unlessEmpty(baseState);
  }

  /** Takes the state of the run's input: deltas start from it if no other state is known. */
  startRun(runStarted: EventLike): void {
    const { input } = runStarted;
    this.#inputState =
      typeof input === "object" && input !== null
        ? unlessEmpty((input as { state?: unknown }).state)
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
    const start = this.#state === undefined ? this.#inputState : this.#state;
    if (lastSnapshot < 0 && start === undefined) {
      for (const event of foldOntoUnknown(pending)) out.push(event);
      return;
    }
    const document = new PatchedDocument(start);
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
    if (isHeld && this.#state)
      out.push(folded({ type: "STATE_SNAPSHOT", snapshot: this.#state }, pending));
    else for (const event of pending) out.push(event);
  }
}

/** Some clients always send an empty state. It does not say that they hold none. */
function unlessEmpty(state: unknown): unknown {
  const isEmpty =
    typeof state === "object" &&
    state !== null &&
    !Array.isArray(state) &&
    Object.keys(state).length === 0;
  return isEmpty ? undefined : state;
}

/**
 * Deltas that apply one by one to an empty object depend on nothing that the client holds: each field that they
 * touch is set by them. So they become one delta that sets these fields. Others stay as they are.
 */
function foldOntoUnknown(deltas: readonly EventLike[]): readonly EventLike[] {
  const [first] = deltas;
  if (first === undefined || deltas.length === 1) return deltas;
  const document = new PatchedDocument({});
  const fields = new Set<string>();
  for (const { delta } of deltas) {
    document.apply(delta);
    if (document.failed) return deltas;
    for (const field of fieldsOf(delta as readonly Operation[])) fields.add(field);
  }
  // An empty path is the whole state.
  if (fields.has("")) return deltas;
  const state = document.value as Readonly<Record<string, unknown>>;
  const delta = [...fields].flatMap((field): Operation[] => {
    const name = jsonPatch.unescapePathComponent(field);
    const path = `/${field}`;
    if (Object.hasOwn(state, name)) return [{ op: "add", path, value: state[name] }];
    // Nothing can be removed that is not there.
    return [
      { op: "add", path, value: null },
      { op: "remove", path },
    ];
  });
  return [folded({ type: "STATE_DELTA", delta }, deltas)];
}

/** The fields of the state that a patch touches, escaped as in its paths. An empty name for the whole state. */
function fieldsOf(patch: readonly Operation[]): readonly string[] {
  return patch.flatMap((operation) => {
    const paths = operation.op === "move" ? [operation.path, operation.from] : [operation.path];
    return paths.map((path) => path.split("/")[1] ?? "");
  });
}

/** The event in place of `sources`. */
function folded(fields: MergedEvent, sources: readonly EventLike[]): EventLike {
  const event = fields;
  const rawEvents = new RawEvents();
  let metadata: unknown;
  for (const source of sources) {
    if (hasPlainMetadata(source)) metadata = mergeMetadata(metadata, source.metadata);
    rawEvents.add(source.rawEvent);
  }
  const last = sources.at(-1);
  if (last?.timestamp !== undefined) event.timestamp = last.timestamp;
  // The event names a subagent only if all its events come from that subagent.
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
  #failed = false;

  constructor(base: unknown) {
    this.#base = base;
    this.#value = base;
  }

  get changed(): boolean {
    return this.#changed;
  }

  /** Whether a patch did not apply. */
  get failed(): boolean {
    return this.#failed;
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
      this.#failed = true;
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
