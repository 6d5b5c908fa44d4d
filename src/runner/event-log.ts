import type { BaseEvent } from "@ag-ui/core";
import { Observable, Subject } from "rxjs";

/**
 * The events of one run, in order: each is passed on in the tick it is added, and whoever
 * subscribes later gets all of them first.
 *
 * Does what a `ReplaySubject` does, and lets a reader see how far it has come.
 */
export class EventLog {
  readonly #events: BaseEvent[] = [];
  readonly #live = new Subject<BaseEvent>();
  #completed = false;

  get length(): number {
    return this.#events.length;
  }

  get completed(): boolean {
    return this.#completed;
  }

  add(event: BaseEvent): void {
    this.#events.push(event);
    this.#live.next(event);
  }

  complete(): void {
    this.#completed = true;
    this.#live.complete();
  }

  /** The events in the places `from` to `to` - 1. */
  slice(from: number, to: number): readonly BaseEvent[] {
    return this.#events.slice(from, to);
  }

  /** All events from the place `from` on, those to come included. */
  from(from = 0): Observable<BaseEvent> {
    return new Observable<BaseEvent>((subscriber) => {
      // By index: a subscriber may cause further events while it is given these.
      for (let index = from; index < this.#events.length; index++) {
        if (subscriber.closed) return undefined;
        subscriber.next(this.#events[index] as BaseEvent);
      }
      return this.#live.subscribe(subscriber);
    });
  }
}
