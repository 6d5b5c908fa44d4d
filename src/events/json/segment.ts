import { type EventLike, isTerminal } from "../event.ts";
import { type MessageDigest, MessageDigests } from "../message-digests.ts";
import { type LargeEvent, MIN_SHARED_LENGTH, mayRepeat } from "../shared/repeating.ts";
import { MAX_EVENT_LENGTH, serializeEvent } from "./serialize.ts";

type DeltaOwner = "messageId" | "toolCallId";

/** By type of delta, the field that names its message or tool call. */
const DELTA_OWNERS: ReadonlyMap<string, DeltaOwner> = new Map([
  ["TEXT_MESSAGE_CONTENT", "messageId"],
  ["REASONING_MESSAGE_CONTENT", "messageId"],
  ["TOOL_CALL_ARGS", "toolCallId"],
]);

/** The types that `compactRun` folds, and a delta without the id of its message. */
const NEEDS_COMPACTION: ReadonlySet<string> = new Set([
  "STATE_SNAPSHOT",
  "STATE_DELTA",
  "THINKING_TEXT_MESSAGE_CONTENT",
]);

/** A character may take six in JSON. `serializeEvent` takes a longer delta, and measures its JSON. */
const MAX_PLAIN_LENGTH = MAX_EVENT_LENGTH / 8;

/**
 * The length at which a segment has to be taken without further waiting, in UTF-16 units. The segment
 * then still fits a string together with one more event, even if all its characters are escaped.
 */
export const MAX_SEGMENT_LENGTH = MAX_EVENT_LENGTH / 4;

interface OpenDelta {
  readonly type: string;
  readonly owner: DeltaOwner;
  readonly id: string;
  readonly timestamp: unknown;
  delta: string;
}

/**
 * Builds a segment, a JSON array, from consecutive events of one run.
 *
 * An event is turned into JSON, or its strings are copied, when it is pushed. So a segment holds the
 * event as it was emitted, even if its object is changed afterwards.
 *
 * Consecutive deltas of one message are merged here already, in the same way as `compactRun` merges
 * them. Models emit mostly such deltas. Merging them here saves the cost of each of them in the writer
 * thread.
 */
export class SegmentBuilder {
  #parts: string[] = [];
  #length = 0;
  /** The events that may repeat values of other runs: their positions in `#parts`, and their types. */
  #large: Pick<LargeEvent, "index" | "type">[] = [];
  #open: OpenDelta | null = null;
  /** Ids whose merged delta is closed. A further delta of such an id needs `compactRun`. */
  #closedDeltas: Set<string> | null = null;
  readonly #messages = new MessageDigests();
  /** How many parts have begun and not ended. */
  #openParts = 0;
  #ended = false;
  #compact = true;
  readonly #rawEvents: boolean;

  /** `rawEvents`: whether RAW events and `rawEvent` fields are kept. */
  constructor(options: { readonly rawEvents: boolean }) {
    this.#rawEvents = options.rawEvents;
  }

  /** UTF-16 units of JSON gathered so far. Approximate. */
  get length(): number {
    return this.#length;
  }

  /**
   * The messages of all pushed events, or null when `compactRun` has more to do: merge deltas across other
   * events, fold state, or close parts.
   *
   * This test is cheap, and may be wrong for a run that ends parts which it never began. Such a run is
   * still replayed correctly.
   */
  get compactMessages(): readonly MessageDigest[] | null {
    return this.#compact && this.#ended ? this.#messages.entries() : null;
  }

  /**
   * The events that may repeat values of other runs, with their positions in the next result of `take`.
   */
  get large(): readonly LargeEvent[] {
    if (this.#large.length === 0) return NOTHING_LARGE;
    const parts = this.#parts;
    let before = 0;
    // After the opening bracket.
    let at = 1;
    return this.#large.map(({ index, type }) => {
      for (; before < index; before++) at += (parts[before] ?? "").length + 1;
      return { type, index, at, length: (parts[index] ?? "").length };
    });
  }

  /** Adds an event. Returns the paths of the parts that JSON cannot hold: "" stands for the whole event. */
  push(event: EventLike): readonly string[] {
    // An agent may emit any value. A value without a type is not an event.
    if (typeof event.type !== "string") return ALL_LOST;
    if (this.#pushDelta(event)) return NOTHING_LOST;
    const serialized = serializeEvent(event, { rawEvents: this.#rawEvents });
    if (serialized === null) return NOTHING_LOST;
    if (serialized.json === null) return serialized.lost;
    this.#closeDelta();
    if (this.#compact) this.#assessOrGiveUp(event);
    if (serialized.json.length >= MIN_SHARED_LENGTH && mayRepeat(event.type)) {
      this.#large.push({ index: this.#parts.length, type: event.type });
    }
    this.#parts.push(serialized.json);
    this.#length += serialized.json.length;
    return serialized.lost;
  }

  /** The JSON array of the events since the last call. */
  take(): string {
    this.#closeDelta();
    const json = `[${this.#parts.join(",")}]`;
    this.#parts = [];
    this.#large = [];
    this.#length = 0;
    return json;
  }

  #closeDelta(): void {
    if (this.#open === null) return;
    const { type, owner, id, delta, timestamp } = this.#open;
    this.#open = null;
    if (this.#compact) {
      this.#closedDeltas ??= new Set();
      this.#closedDeltas.add(id);
      this.#messages.add(type, id, delta);
    }
    // JSON leaves out a timestamp that is undefined.
    this.#parts.push(JSON.stringify({ type, [owner]: id, delta, timestamp }));
  }

  /** Adds an event if it has only the fields of a delta. Otherwise returns false. */
  #pushDelta(event: EventLike): boolean {
    const { type } = event;
    const owner = DELTA_OWNERS.get(type);
    if (owner === undefined) return false;
    let id: unknown;
    let delta: unknown;
    let timestamp: unknown;
    // A getter of the agent may throw. Then `serializeEvent` leaves out that field alone.
    try {
      if (!hasDeltaFieldsOnly(event, owner, this.#rawEvents)) return false;
      id = event[owner];
      delta = event.delta;
      timestamp = event.timestamp;
    } catch {
      return false;
    }
    if (typeof id !== "string" || typeof delta !== "string") return false;
    if (id.length + delta.length > MAX_PLAIN_LENGTH) return false;
    if (timestamp !== undefined && !Number.isFinite(timestamp)) return false;
    const open = this.#open;
    if (open !== null && open.type === type && open.id === id) {
      open.delta += delta;
    } else {
      this.#closeDelta();
      this.#open = { type, owner, id, timestamp, delta };
      if (this.#ended || this.#closedDeltas?.has(id)) this.#compact = false;
      this.#length += type.length + id.length;
    }
    this.#length += delta.length;
    return true;
  }

  #assessOrGiveUp(event: EventLike): void {
    try {
      this.#assess(event);
    } catch {
      this.#compact = false;
    }
  }

  #assess(event: EventLike): void {
    const { type } = event;
    if (this.#ended || NEEDS_COMPACTION.has(type) || DELTA_OWNERS.has(type)) {
      this.#compact = false;
      return;
    }
    this.#messages.observe(event);
    if (isTerminal(event)) {
      this.#ended = true;
      this.#compact = this.#openParts === 0;
    } else if (type.endsWith("_START") || type.endsWith("_STARTED")) {
      // RUN_STARTED begins no part.
      if (type !== "RUN_STARTED") this.#openParts++;
    } else if (type.endsWith("_END") || type.endsWith("_FINISHED") || type === "SUBAGENT_ERROR") {
      this.#openParts--;
    }
  }
}

function hasDeltaFieldsOnly(event: EventLike, owner: DeltaOwner, rawEvents: boolean): boolean {
  if (Object.getPrototypeOf(event) !== Object.prototype) return false;
  for (const field in event) {
    if (field === "type" || field === owner || field === "delta" || field === "timestamp") continue;
    if (field === "rawEvent" && !rawEvents) continue;
    return false;
  }
  return true;
}

const NOTHING_LARGE: readonly LargeEvent[] = [];
const NOTHING_LOST: readonly string[] = [];
const ALL_LOST: readonly string[] = [""];
