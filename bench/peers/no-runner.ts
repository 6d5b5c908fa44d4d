import type { BaseEvent } from "@ag-ui/core";
import { EMPTY, Observable } from "rxjs";
import type { RunRequest } from "../../src/index.ts";
import type { BenchRunner } from "./bench-runner.ts";

/** The agents without a runner: the events of a run go only to the subscriber. */
export class NoRunner implements BenchRunner {
  run({ agent, input }: RunRequest): Observable<BaseEvent> {
    return new Observable((subscriber) => {
      const onEvent = ({ event }: { event: BaseEvent }) => subscriber.next(event);
      agent.runAgent(input, { onEvent, onNewMessage() {}, onRunStartedEvent() {} }).then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      );
    });
  }

  connect(): Observable<BaseEvent> {
    return EMPTY;
  }

  async close(): Promise<void> {}

  stats(): null {
    return null;
  }
}
