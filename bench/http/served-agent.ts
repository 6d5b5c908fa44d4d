import { AbstractAgent } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { Observable } from "rxjs";
import { emitAnswer } from "../workloads/agents.ts";

/** What a client asks of the agent, in the `forwardedProps` of its run. */
export interface Wish {
  readonly eventsPerRun: number;
  /** The agent stops in the middle of its answer until the server is told to release it. */
  readonly held?: boolean;
}

/** Holds runs until they are released, all at once. */
export class Gate {
  #released = Promise.withResolvers<void>();

  wait(): Promise<void> {
    return this.#released.promise;
  }

  release(): void {
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }
}

/** The agent of the server. Each run answers as its client wishes. */
export class ServedAgent extends AbstractAgent {
  readonly #gate: Gate;

  constructor(gate: Gate) {
    super();
    this.#gate = gate;
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    const { eventsPerRun, held = false } = input.forwardedProps as Wish;
    return new Observable((subscriber) => {
      const events: BaseEvent[] = [];
      emitAnswer(input, eventsPerRun, (event) => events.push(event));
      const answer = async () => {
        const rest = held ? events.splice(eventsPerRun / 2) : [];
        for (const event of events) subscriber.next(event);
        if (held) await this.#gate.wait();
        for (const event of rest) subscriber.next(event);
        subscriber.complete();
      };
      // Even the fastest model answers in a later turn of the event loop.
      setImmediate(answer);
    });
  }

  // The runtime clones its agents for each request.
  override clone(): ServedAgent {
    return new ServedAgent(this.#gate);
  }
}
