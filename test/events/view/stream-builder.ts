import { Subject } from "rxjs";
import type { EventLike } from "../../../src/events/event.ts";
import { OpenParts } from "../../../src/events/lifecycle/open-parts.ts";
import { lifecycleOf } from "../../../src/events/lifecycle/part-lifecycle.ts";
import { oldestClient } from "../clients.ts";

/** Builds the stream of a run: of the events that it is offered it takes those that a client accepts. */
export class StreamBuilder {
  readonly events: EventLike[] = [];
  #input = new Subject<EventLike>();
  #failed = false;
  #parts = new OpenParts();

  constructor() {
    this.#restart();
  }

  add(event: EventLike): boolean {
    this.#input.next(event);
    if (this.#failed) this.#restart();
    else this.events.push(event);
    return this.events.at(-1) === event;
  }

  /** True if the part that `start` starts is open. */
  has(start: EventLike): boolean {
    const lifecycle = lifecycleOf(start.type);
    return lifecycle !== undefined && this.#parts.has(lifecycle, start);
  }

  /**
   * Ends the run, and what is open in it before. A message that was filled by chunks and ended by an event
   * of another agent leaves a stream that no event can end: such a stream is cut.
   */
  end(terminal: EventLike): void {
    while (!this.add(terminal) && !this.#close(terminal)) {
      this.events.pop();
      this.#restart();
    }
  }

  #close(terminal: EventLike): boolean {
    const { length } = this.events;
    const closers = this.#parts.close({ outcome: "failed", pendingResults: false });
    if ([...closers, terminal].every((event) => this.add(event))) return true;
    this.events.length = length;
    return false;
  }

  #restart(): void {
    this.#failed = false;
    this.#parts = new OpenParts();
    this.#input = new Subject();
    oldestClient.expandAndVerify(this.#input).subscribe({
      next: (event) => this.#parts.observe(event as EventLike),
      error: () => {
        this.#failed = true;
      },
    });
    for (const event of this.events) this.#input.next(event);
  }
}
