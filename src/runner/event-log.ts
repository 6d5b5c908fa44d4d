import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { copyEvent } from "../events/json/copy.ts";
import { type PackedEvents, packEvents, unpackEvents } from "../events/json/pack.ts";

/**
 * Events that are packed together. The last `BLOCK` to 2 * `BLOCK` events stay unpacked: most runs are
 * shorter.
 */
const BLOCK = 1000;

interface Listener {
  readonly subscriber: Subscriber<EventLike>;
  /** The position of its first live event. It got the earlier events when it subscribed. */
  readonly from: number;
}

/**
 * The events of one run, in order. An event is passed on in the tick in which it is added. A later
 * subscriber first gets all earlier events.
 *
 * The log records a private copy of each event as it was when it was added: agents use an object again,
 * and subscribers change the objects that they get.
 *
 * A subscriber may cause further events while it gets an event, for example by stopping the run. Such
 * events are recorded at once. They are passed on in the same tick, after every listener has got the
 * event before. So all listeners see the same order, which is the order in the store.
 *
 * This is a `ReplaySubject` that also gives its length and its events by position. It takes less memory:
 * old events are packed, and unpacked for each subscriber that needs them.
 */
export class EventLog {
  readonly #blocks: PackedEvents[] = [];
  /** The events after those in the blocks. */
  #recent: EventLike[] = [];
  readonly #listeners = new Set<Listener>();
  #completed = false;
  #isPassingOn = false;
  /** Events that were recorded while another event was passed on. */
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

  /** Copies of the events at the positions `from` to `to` - 1. */
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

  /**
   * All events from the position `from`: copies of the recorded events, then the added objects
   * themselves.
   */
  from(from = 0): Observable<EventLike> {
    return new Observable<EventLike>((subscriber) => {
      let at = from;
      // The length is read each time: a subscriber may cause further events while it gets these.
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
    let position = this.length - 1;
    try {
      this.#emit(position, event);
      // The list may grow in this loop. Pass on copies: the agent may have used the objects again by
      // now.
      for (const next of this.#queued) this.#emit(++position, copyEvent(next));
    } finally {
      this.#isPassingOn = false;
      this.#queued = [];
    }
    if (this.#completed) this.#completeListeners();
  }

  #emit(position: number, event: EventLike): void {
    for (const { subscriber, from } of this.#listeners) {
      if (position >= from) subscriber.next(event);
    }
  }

  #completeListeners(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const { subscriber } of listeners) subscriber.complete();
  }

  /** Copies of one or more events, from the position `at`, up to `end` - 1 at most. */
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
