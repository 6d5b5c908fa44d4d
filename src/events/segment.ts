import type { EventLike } from "./event.ts";
import { serializeEvent } from "./serialize.ts";

/** The field that says to which message or tool call a delta of this type belongs. */
const DELTA_OWNERS: Readonly<Record<string, "messageId" | "toolCallId">> = {
  TEXT_MESSAGE_CONTENT: "messageId",
  REASONING_MESSAGE_CONTENT: "messageId",
  TOOL_CALL_ARGS: "toolCallId",
};

interface OpenDelta {
  readonly type: string;
  readonly owner: "messageId" | "toolCallId";
  readonly id: string;
  readonly timestamp: number | undefined;
  delta: string;
}

/**
 * Consecutive events of one run on their way to becoming a segment: a JSON array.
 *
 * An event becomes JSON, or a copy of its strings, when it is pushed, so that a segment holds what
 * was emitted, whatever is done to the object afterwards. Deltas of one message that follow each
 * other merge here already, as `compactRun` would merge them: most of what a model emits is that,
 * and each thread that it does not travel through saves its cost.
 */
export class SegmentBuilder {
  #parts: string[] = [];
  #length = 0;
  #open: OpenDelta | null = null;
  readonly #rawEvents: boolean;

  /** `rawEvents`: whether RAW events and `rawEvent` fields are kept. */
  constructor(options: { readonly rawEvents: boolean }) {
    this.#rawEvents = options.rawEvents;
  }

  /** UTF-16 units of JSON gathered, near enough to know when it is much. */
  get length(): number {
    return this.#length;
  }

  /** Adds one event. Returns the paths of what could not be made JSON. */
  push(event: EventLike): readonly string[] {
    const delta = this.#plainDelta(event);
    if (delta !== null) {
      const open = this.#open;
      if (open !== null && open.type === delta.type && open.id === delta.id) {
        open.delta += delta.delta;
      } else {
        this.#closeDelta();
        this.#open = delta;
        this.#length += delta.type.length + delta.id.length;
      }
      this.#length += delta.delta.length;
      return NOTHING_LOST;
    }
    const serialized = serializeEvent(event, { rawEvents: this.#rawEvents });
    if (serialized === null) return NOTHING_LOST;
    this.#closeDelta();
    this.#parts.push(serialized.json);
    this.#length += serialized.json.length;
    return serialized.lost;
  }

  /** The JSON array of all that was pushed since the last time. */
  take(): string {
    this.#closeDelta();
    const json = `[${this.#parts.join(",")}]`;
    this.#parts = [];
    this.#length = 0;
    return json;
  }

  #closeDelta(): void {
    if (this.#open === null) return;
    const { type, owner, id, delta, timestamp } = this.#open;
    this.#open = null;
    // JSON leaves out a timestamp that is undefined.
    this.#parts.push(JSON.stringify({ type, [owner]: id, delta, timestamp }));
  }

  /** What there is to `event` if it is a delta and nothing else, or null. */
  #plainDelta(event: EventLike): OpenDelta | null {
    const { type } = event;
    const owner = DELTA_OWNERS[type];
    if (owner === undefined || Object.getPrototypeOf(event) !== Object.prototype) return null;
    for (const field in event) {
      if (field === "type" || field === owner || field === "delta" || field === "timestamp")
        continue;
      if (field === "rawEvent" && !this.#rawEvents) continue;
      return null;
    }
    const { [owner]: id, delta, timestamp } = event;
    if (typeof id !== "string" || typeof delta !== "string") return null;
    if (timestamp !== undefined && !Number.isFinite(timestamp)) return null;
    return { type, owner, id, delta, timestamp: timestamp as number | undefined };
  }
}

const NOTHING_LOST: readonly string[] = [];
