import type { EventLike } from "../../events/event.ts";
import { SegmentBuilder } from "../../events/json/segment.ts";
import type { RunStoreError } from "../../protocol/errors.ts";

/** The events of one claimed run that were emitted and not sent to the writer yet. */
export class RunBuffer {
  readonly threadId: string;
  readonly runId: string;
  readonly agentId: string | null;
  readonly epoch: number;
  readonly onLost: (error: RunStoreError) => void;
  /** JSON of the run's input until it was sent. */
  input: string | null = null;
  /** Why the run can never be stored whole, or null. */
  failure: RunStoreError | null = null;
  /** When the oldest event here is due, in milliseconds of `performance.now()`. */
  dueAt = 0;
  /** Its place in `HeldRuns`. */
  heldAt = -1;
  readonly #segment: SegmentBuilder;
  #seq = 0;
  #sentSeq = 0;
  #segments = 0;
  #takenLength = 0;

  constructor(
    run: { threadId: string; runId: string; agentId: string | null; epoch: number },
    options: { readonly rawEvents: boolean },
    onLost: (error: RunStoreError) => void,
  ) {
    this.threadId = run.threadId;
    this.runId = run.runId;
    this.agentId = run.agentId;
    this.epoch = run.epoch;
    this.onLost = onLost;
    this.#segment = new SegmentBuilder(options);
  }

  /** UTF-16 units of JSON waiting here. */
  get length(): number {
    return this.#segment.length;
  }

  /** How many segments of this run were taken from here. */
  get segments(): number {
    return this.#segments;
  }

  /** UTF-16 units of JSON that were taken from here. */
  get takenLength(): number {
    return this.#takenLength;
  }

  /** `SegmentBuilder.compactIds`, when the whole run is still here. */
  get compactIds(): readonly string[] | null {
    return this.#segments > 0 ? null : this.#segment.compactIds;
  }

  /** Adds an event; returns what of it could not be made JSON. */
  push(event: EventLike): readonly string[] {
    this.#seq++;
    return this.#segment.push(event);
  }

  /** Takes what waits here as one segment. */
  take(): { readonly seq: number; readonly events: string } {
    const seq = this.#sentSeq;
    if (this.#seq > seq) this.#segments++;
    this.#sentSeq = this.#seq;
    this.#takenLength += this.#segment.length;
    return { seq, events: this.#segment.take() };
  }
}
