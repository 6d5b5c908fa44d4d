import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { copyEvent } from "../events/json/copy.ts";
import { type PackedEvents, packEvents, unpackEvents } from "../events/json/pack.ts";

/** Events that are packed together. Twice as many stay as they came: those of most runs do. */
const BLOCK = 1000;

interface Listener {
  readonly subscriber: Subscriber<EventLike>;
  /** The place of its first live event: it was given those before when it subscribed. */
  readonly from: number;
}

/**
 * The events of one run, in order: each is passed on in the tick it is added, and whoever
 * subscribes later gets all of them first.
 *
 * Recorded is what an event was when it was added, in objects that nobody else holds: agents use an
 * object again, and subscribers change what they are given.
 *
 * A subscriber may cause further events while it is given one, by stopping the run for example. Those
 * are recorded at once and passed on, in the same tick, when every listener has had the one before:
 * all listeners see one order, which is that of the store.
 *
 * Does what a `ReplaySubject` does, lets a reader see how far it has come, and takes less memory:
 * what came long ago is packed, and unpacked again for whoever asks.
 */
export class EventLog {
  readonly #blocks: PackedEvents[] = [];
  /** The events behind the blocks. */
  #recent: EventLike[] = [];
  readonly #listeners = new Set<Listener>();
  #completed = false;
  #isPassingOn = false;
  /** Recorded while another event was passed on. */
  #queued: EventLike[] = [];

  get length(): number {
    return this.#blocks.length * BLOCK + this.#recent.length;
  }

  get completed(): boolean {
    return this.#completed;
  }

  add(event: EventLike): void {
    const recorded = copyEvent(event);
    this.#recent.push(recorded);
    if (this.#recent.length > 2 * BLOCK) {
      this.#blocks.push(packEvents(this.#recent.slice(0, BLOCK)));
      this.#recent = this.#recent.slice(BLOCK);
    }
    if (this.#isPassingOn) this.#queued.push(recorded);
    else if (this.#listeners.size > 0) this.#passOn(event);
  }

  complete(): void {
    this.#completed = true;
    if (!this.#isPassingOn) this.#completeListeners();
  }

  /** The events in the places `from` to `to` - 1. */
  slice(from: number, to: number): readonly EventLike[] {
    const events: EventLike[] = [];
    const end = Math.min(to, this.length);
    for (let at = Math.max(from, 0); at < end; ) {
      const stretch = this.#stretch(at, end);
      for (const event of stretch) events.push(event);
      at += stretch.length;
    }
    return events;
  }

  /** All events from the place `from` on: as recorded, then the very objects that are added. */
  from(from = 0): Observable<EventLike> {
    return new Observable<EventLike>((subscriber) => {
      let at = from;
      // By place: a subscriber may cause further events while it is given these.
      while (at < this.length) {
        for (const event of this.#stretch(at, this.length)) {
          if (subscriber.closed) return undefined;
          at++;
          subscriber.next(event);
        }
      }
      if (this.#completed) {
        subscriber.complete();
        return undefined;
      }
      const listener: Listener = { subscriber, from: at };
      this.#listeners.add(listener);
      return () => void this.#listeners.delete(listener);
    });
  }

  #passOn(event: EventLike): void {
    this.#isPassingOn = true;
    let place = this.length - 1;
    try {
      this.#tell(place, event);
      // The list grows while it is gone through. The agent may have used the objects again by now.
      for (const next of this.#queued) this.#tell(++place, copyEvent(next));
    } finally {
      this.#isPassingOn = false;
      this.#queued = [];
    }
    if (this.#completed) this.#completeListeners();
  }

  #tell(place: number, event: EventLike): void {
    for (const { subscriber, from } of this.#listeners) {
      if (place >= from) subscriber.next(event);
    }
  }

  #completeListeners(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const { subscriber } of listeners) subscriber.complete();
  }

  /** Copies of one or more events in the places from `at` on, up to `end` - 1. */
  #stretch(at: number, end: number): readonly EventLike[] {
    const block = this.#blocks[Math.floor(at / BLOCK)];
    if (block === undefined) {
      const packed = this.#blocks.length * BLOCK;
      return this.#recent.slice(at - packed, end - packed).map(copyEvent);
    }
    const start = at - (at % BLOCK);
    const events = unpackEvents(block);
    return events.slice(at - start, end - start).map(copyEvent);
  }
}
