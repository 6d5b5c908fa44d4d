import type { EventLike } from "../../index.ts";
import type { EventItem } from "../api.ts";

/** Bytes of an event that are shown whole in a list. */
const MAX_SHOWN = 32 * 1024;
const PREVIEW_LENGTH = 500;
/** UTF-16 units of the events of one run that are kept. Of later events, only their beginnings are. */
const MAX_KEPT = 64 * 1024 * 1024;

/** An event of a run, as it is kept. */
export interface FedEvent {
  readonly type: string;
  readonly at: number | null;
  readonly bytes: number;
  /** Its JSON, or the beginning of it if it `isCut`. */
  readonly json: string;
  readonly isCut: boolean;
}

/** The events of a run, which may grow. Whoever reads them goes by their indexes, at any pace. */
export class RunFeed {
  readonly #events: FedEvent[] = [];
  readonly #ended = new AbortController();
  readonly #waiting = new Set<() => void>();
  #length = 0;
  #isOver = false;
  #failure: unknown = null;
  /** When somebody last asked, in milliseconds of `performance.now()`. */
  usedAt = performance.now();

  /** `read` gives all events of the run, and ends with it or with the signal. */
  constructor(read: (signal: AbortSignal) => AsyncIterable<EventLike>) {
    void this.#fill(read(this.#ended.signal));
  }

  get events(): readonly FedEvent[] {
    return this.#events;
  }

  /** UTF-16 units that are kept. */
  get length(): number {
    return this.#length;
  }

  /** Whether no more events come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether reading was given up by `end`: more events may have come. */
  get isLeft(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Resolves when there is an event at `index`, or no more events come. Rejects when reading has failed. */
  async reached(index: number, signal?: AbortSignal): Promise<void> {
    while (this.#events.length <= index && !this.#isOver && signal?.aborted !== true) {
      await this.#change(signal);
    }
    if (this.#failure !== null) throw this.#failure;
  }

  /** Resolves when all events are there. */
  whole(): Promise<void> {
    return this.reached(Number.POSITIVE_INFINITY);
  }

  end(): void {
    this.#ended.abort();
  }

  async #fill(events: AsyncIterable<EventLike>): Promise<void> {
    try {
      for await (const event of events) {
        this.#events.push(this.#kept(event));
        this.#tell();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#isOver = true;
    this.#tell();
  }

  #kept(event: EventLike): FedEvent {
    const json = JSON.stringify(event);
    // Another program may have stored null as an event.
    const { type, timestamp } = (event ?? {}) as Partial<EventLike>;
    const isCut = this.#length + json.length > MAX_KEPT;
    const kept = isCut ? json.slice(0, PREVIEW_LENGTH) : json;
    this.#length += kept.length;
    return {
      type: typeof type === "string" ? type : "",
      at: typeof timestamp === "number" && Number.isFinite(timestamp) ? timestamp : null,
      bytes: Buffer.byteLength(json),
      json: kept,
      isCut,
    };
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const tell = () => {
        this.#waiting.delete(tell);
        signal?.removeEventListener("abort", tell);
        resolve();
      };
      this.#waiting.add(tell);
      signal?.addEventListener("abort", tell, { once: true });
    });
  }

  #tell(): void {
    for (const tell of [...this.#waiting]) tell();
  }
}

/** An event as lists show it. */
export function itemOf({ type, at, bytes, json, isCut }: FedEvent, index: number): EventItem {
  const isShown = bytes <= MAX_SHOWN && !isCut;
  return {
    index,
    type,
    at,
    bytes,
    event: isShown ? (JSON.parse(json) as EventLike) : null,
    preview: isShown ? null : json.slice(0, PREVIEW_LENGTH),
  };
}
