import { type EventLike, stringField } from "../event.ts";
import {
  hasPlainMetadata,
  type MergedEvent,
  mergeMetadata,
  RawEvents,
  sameValue,
} from "./merge-fields.ts";

/**
 * A delta is not merged into a delta that more than so many events of the output follow: these events would have to
 * be held in memory until the end of a run with a message that stays open.
 */
const MAX_GAP = 10_000;

/** A delta in the output into which later deltas may be merged. */
interface MergeTarget {
  index: number;
  readonly first: EventLike;
  /** Null until there is a second delta: a single delta stays the same object. */
  merged: MergedEvent | null;
  rawEvents: RawEvents | null;
}

/**
 * Merges the deltas of a message or tool call into the first of these deltas, in its place.
 *
 * A delta may move only over events that do not affect its message or tool call. An event that does is a
 * barrier: the next delta after it begins a new merged delta.
 */
export class DeltaMerger {
  // Text and reasoning share a map, because a client's reducer finds both by message id alone.
  readonly #messages = new Map<string, MergeTarget>();
  readonly #toolCalls = new Map<string, MergeTarget>();
  #thinking: MergeTarget | undefined;

  /** Appends `event` to `out`, or merges it into an event of `out`. */
  add(event: EventLike, out: EventLike[]): void {
    switch (event.type) {
      case "TEXT_MESSAGE_CONTENT":
      case "REASONING_MESSAGE_CONTENT":
        this.#addDelta(this.#messages, stringField(event, "messageId"), event, out);
        return;
      case "TOOL_CALL_ARGS":
        this.#addDelta(this.#toolCalls, stringField(event, "toolCallId"), event, out);
        return;
      case "THINKING_TEXT_MESSAGE_CONTENT":
        if (merge(this.#thinking, event, out)) return;
        this.#thinking = newTarget(event, out.length);
        out.push(event);
        return;
      default:
        this.#passBarrier(event);
        out.push(event);
    }
  }

  /** How many of the first events of `out` no later delta is merged into. */
  settled(out: readonly EventLike[]): number {
    let settled = out.length;
    for (const target of this.#targets()) {
      if (!isFar(target, out)) settled = Math.min(settled, target.index);
    }
    return settled;
  }

  /** The first `count` events, which are settled, were taken out of the output. */
  shift(count: number): void {
    for (const target of this.#targets()) target.index -= count;
  }

  *#targets(): Generator<MergeTarget, void, undefined> {
    yield* this.#messages.values();
    yield* this.#toolCalls.values();
    if (this.#thinking !== undefined) yield this.#thinking;
  }

  #addDelta(
    targets: Map<string, MergeTarget>,
    id: string | undefined,
    event: EventLike,
    out: EventLike[],
  ): void {
    if (id !== undefined) {
      if (merge(targets.get(id), event, out)) return;
      const target = newTarget(event, out.length);
      if (target) targets.set(id, target);
      else targets.delete(id);
    }
    out.push(event);
  }

  #passBarrier(event: EventLike): void {
    switch (event.type) {
      case "TEXT_MESSAGE_START":
      case "TEXT_MESSAGE_END":
      case "REASONING_START":
      case "REASONING_END":
      case "REASONING_MESSAGE_START":
      case "REASONING_MESSAGE_END":
      case "ACTIVITY_SNAPSHOT":
      case "ACTIVITY_DELTA":
      // Its tool message gets its place before a message of the same id.
      case "TOOL_CALL_RESULT":
        this.#messages.delete(event.messageId as string);
        return;
      case "TOOL_CALL_START":
        this.#toolCalls.delete(event.toolCallId as string);
        // It may create a message that earlier deltas did not find.
        this.#messages.delete((event.parentMessageId ?? event.toolCallId) as string);
        return;
      case "TOOL_CALL_END":
        this.#toolCalls.delete(event.toolCallId as string);
        return;
      case "REASONING_ENCRYPTED_VALUE":
        this.#messages.delete(event.entityId as string);
        this.#toolCalls.delete(event.entityId as string);
        return;
      case "THINKING_START":
      case "THINKING_END":
      case "THINKING_TEXT_MESSAGE_START":
      case "THINKING_TEXT_MESSAGE_END":
        this.#thinking = undefined;
        return;
      case "MESSAGES_SNAPSHOT":
      case "RUN_STARTED":
      case "RUN_FINISHED":
      case "RUN_ERROR":
      // A chunk may lack the id of its message: only the first chunk of a message has to name it.
      case "TEXT_MESSAGE_CHUNK":
      case "TOOL_CALL_CHUNK":
      case "REASONING_MESSAGE_CHUNK":
        this.#messages.clear();
        this.#toolCalls.clear();
        this.#thinking = undefined;
    }
  }
}

function newTarget(event: EventLike, index: number): MergeTarget | undefined {
  if (typeof event.delta !== "string" || !hasPlainMetadata(event)) return undefined;
  return { index, first: event, merged: null, rawEvents: null };
}

/** The index of such a target is negative once the event is taken out of the output. */
function isFar({ index }: MergeTarget, out: readonly EventLike[]): boolean {
  return out.length - index > MAX_GAP;
}

function merge(target: MergeTarget | undefined, event: EventLike, out: EventLike[]): boolean {
  if (target === undefined || isFar(target, out) || typeof event.delta !== "string") return false;
  const { first } = target;
  if (!hasPlainMetadata(event) || !sameOtherFields(first, event)) return false;
  if (target.merged === null) {
    target.merged = { ...first };
    out[target.index] = target.merged;
  }
  const { merged } = target;
  merged.delta = (merged.delta as string) + event.delta;
  if (event.metadata !== undefined) {
    merged.metadata = mergeMetadata(merged.metadata, event.metadata);
  }
  if (event.rawEvent !== undefined) {
    if (target.rawEvents === null) {
      target.rawEvents = new RawEvents();
      target.rawEvents.add(first.rawEvent);
    }
    target.rawEvents.add(event.rawEvent);
    if (target.rawEvents.value !== undefined) merged.rawEvent = target.rawEvents.value;
  }
  return true;
}

/** True if the events differ only in fields that merging combines, and in their timestamp. */
function sameOtherFields(a: EventLike, b: EventLike): boolean {
  for (const key in a) if (!isCombined(key) && !sameValue(a[key], b[key])) return false;
  for (const key in b) {
    if (b[key] !== undefined && a[key] === undefined && !isCombined(key)) return false;
  }
  return true;
}

function isCombined(key: string): boolean {
  return key === "delta" || key === "timestamp" || key === "metadata" || key === "rawEvent";
}
