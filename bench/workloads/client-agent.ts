import { AbstractAgent } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { Observable } from "rxjs";
import { emitAnswer } from "./agents.ts";

/** What users have: its events pass the pipeline of `runAgent`, which verifies and applies them. */
export class ClientAgent extends AbstractAgent {
  readonly #eventsPerRun: number;

  constructor(eventsPerRun: number, input: RunAgentInput) {
    // As the runtime prepares the clone of an agent that a request gets.
    super({ agentId: "bench", threadId: input.threadId, initialMessages: input.messages });
    this.#eventsPerRun = eventsPerRun;
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable((subscriber) => {
      // Even the fastest model answers in a later turn of the loop.
      setImmediate(() => {
        emitAnswer(input, this.#eventsPerRun, (event) => subscriber.next(event));
        subscriber.complete();
      });
    });
  }
}
