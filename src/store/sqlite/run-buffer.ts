import type { EventLike } from "../../events/event.ts";
import { serializeEvent } from "../../events/serialize.ts";
import type { RunStoreError } from "../../protocol/errors.ts";

/**
 * The events of one run that were emitted and not sent to the writer yet, as JSON.
 *
 * An event becomes JSON when it is emitted, so that what is stored is what was emitted, whatever
 * a subscriber does to the object afterwards.
 */
export class RunBuffer {
  readonly threadId: string;
  readonly runId: string;
  readonly agentId: string | null;
  readonly epoch: number;
  readonly onLost: (error: RunStoreError) => void;
  /** JSON of the run's input until it was sent. */
  input: string | null = null;
  /** When the oldest event here is due, in milliseconds of `performance.now()`. */
  dueAt = 0;
  #parts: string[] = [];
  #length = 0;
  #seq = 0;
  #sentSeq = 0;

  constructor(
    run: { threadId: string; runId: string; agentId: string | null; epoch: number },
    onLost: (error: RunStoreError) => void,
  ) {
    this.threadId = run.threadId;
    this.runId = run.runId;
    this.agentId = run.agentId;
    this.epoch = run.epoch;
    this.onLost = onLost;
  }

  /** UTF-16 units of JSON waiting here. */
  get length(): number {
    return this.#length;
  }

  /** True when a segment of this run was sent to the journal. */
  get journaled(): boolean {
    return this.#sentSeq > 0;
  }

  /** Adds an event; returns what of it could not be made JSON. */
  push(event: EventLike, options: { rawEvents: boolean }): readonly string[] {
    const serialized = serializeEvent(event, options);
    if (serialized === null) return [];
    this.#parts.push(serialized.json);
    this.#length += serialized.json.length;
    this.#seq++;
    return serialized.lost;
  }

  /** Takes what waits here as one segment. */
  take(): { readonly seq: number; readonly events: string } {
    const events = `[${this.#parts.join(",")}]`;
    const seq = this.#sentSeq;
    this.#parts = [];
    this.#length = 0;
    this.#sentSeq = this.#seq;
    return { seq, events };
  }
}
