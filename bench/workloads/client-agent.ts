import { AbstractAgent } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { Observable } from "rxjs";
import { emitAnswer } from "./agents.ts";

/**
 * An agent as users have it: its events pass the pipeline of `runAgent`, which verifies and applies
 * them.
 */
export class ClientAgent extends AbstractAgent {
  readonly #eventsPerRun: number;

  constructor(eventsPerRun: number, input: RunAgentInput) {
    // The runtime prepares the clone of an agent for a request in the same way.
    super({ agentId: "bench", threadId: input.threadId, initialMessages: input.messages });
    this.#eventsPerRun = eventsPerRun;
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable((subscriber) => {
      // Even the fastest model answers in a later turn of the event loop.
      setImmediate(() => {
        emitAnswer(input, this.#eventsPerRun, (event) => subscriber.next(event));
        subscriber.complete();
      });
    });
  }
}
