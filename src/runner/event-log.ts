import type { BaseEvent } from "@ag-ui/core";
import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { type PackedEvents, packEvents, unpackEvents } from "../events/pack.ts";

/** Events that are packed together. Twice as many stay as they came: those of most runs do. */
const BLOCK = 1000;

/**
 * The events of one run, in order: each is passed on in the tick it is added, and whoever
 * subscribes later gets all of them first.
 *
 * Does what a `ReplaySubject` does, lets a reader see how far it has come, and takes less memory and
 * time: what came long ago is packed, and unpacked again for whoever asks, and an event makes nothing
 * but its place in the list.
 */
export class EventLog {
  readonly #blocks: PackedEvents[] = [];
  /** The events behind the blocks. */
  #recent: BaseEvent[] = [];
  /** Who listens: another list whenever one comes or leaves, so that a round goes on undisturbed. */
  #listeners: readonly Subscriber<BaseEvent>[] = [];
  #completed = false;

  get length(): number {
    return this.#blocks.length * BLOCK + this.#recent.length;
  }

  get completed(): boolean {
    return this.#completed;
  }

  add(event: BaseEvent): void {
    this.#recent.push(event);
    if (this.#recent.length > 2 * BLOCK) {
      this.#blocks.push(
        packEvents(this.#recent.slice(0, BLOCK) as readonly object[] as EventLike[]),
      );
      this.#recent = this.#recent.slice(BLOCK);
    }
    for (const listener of this.#listeners) listener.next(event);
  }

  complete(): void {
    this.#completed = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener.complete();
  }

  /** The events in the places `from` to `to` - 1. */
  slice(from: number, to: number): readonly BaseEvent[] {
    const events: BaseEvent[] = [];
    const end = Math.min(to, this.length);
    for (let at = Math.max(from, 0); at < end; ) {
      const stretch = this.#stretch(at).slice(0, end - at);
      for (const event of stretch) events.push(event);
      at += stretch.length;
    }
    return events;
  }

  /** All events from the place `from` on, those to come included. */
  from(from = 0): Observable<BaseEvent> {
    return new Observable<BaseEvent>((subscriber) => {
      let at = from;
      // By place: a subscriber may cause further events while it is given these.
      while (at < this.length) {
        for (const event of this.#stretch(at)) {
          if (subscriber.closed) return undefined;
          at++;
          subscriber.next(event);
        }
      }
      if (this.#completed) {
        subscriber.complete();
        return undefined;
      }
      this.#listeners = [...this.#listeners, subscriber];
      return () => {
        this.#listeners = this.#listeners.filter((listener) => listener !== subscriber);
      };
    });
  }

  /** One or more events from the place `at` on. */
  #stretch(at: number): readonly BaseEvent[] {
    const block = this.#blocks[Math.floor(at / BLOCK)];
    if (block === undefined) return this.#recent.slice(at - this.#blocks.length * BLOCK);
    return unpackEvents(block).slice(at % BLOCK) as readonly object[] as BaseEvent[];
  }
}
