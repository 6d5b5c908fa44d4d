import { AbstractAgent as AbstractAgent0, type RunAgentInput as Input0 } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { AbstractAgent as AbstractAgent1 } from "ag-ui-client-1";
import { Observable } from "rxjs";
import type { Script } from "./scripted-agent.ts";

function play<Event>(script: Script, input: RunAgentInput, aborted: Promise<void>) {
  return new Observable<Event>((subscriber) => {
    const emitAll = async () => {
      for await (const event of script({ input, aborted })) subscriber.next(event as Event);
    };
    emitAll().then(
      () => subscriber.complete(),
      (error: unknown) => subscriber.error(error),
    );
  });
}

/** A real agent of `@ag-ui/client` 0.0.59 that executes a script. */
export class ClientAgent0 extends AbstractAgent0 {
  readonly #script: Script;
  readonly #abort = Promise.withResolvers<void>();

  constructor(script: Script, ids: { threadId: string }) {
    super(ids);
    this.#script = script;
  }

  override clone(): ClientAgent0 {
    return new ClientAgent0(this.#script, this);
  }

  run(input: Input0): Observable<BaseEvent> {
    return play(this.#script, input, this.#abort.promise);
  }

  override abortRun(): void {
    this.#abort.resolve();
  }
}

type Input1 = Parameters<AbstractAgent1["run"]>[0];
type Event1 = ReturnType<AbstractAgent1["run"]> extends Observable<infer Event> ? Event : never;

/** The same of `@ag-ui/client` 1.0.0. */
export class ClientAgent1 extends AbstractAgent1 {
  readonly #script: Script;
  readonly #abort = Promise.withResolvers<void>();

  constructor(script: Script, ids: { threadId: string }) {
    super(ids);
    this.#script = script;
  }

  override clone(): ClientAgent1 {
    return new ClientAgent1(this.#script, this);
  }

  run(input: Input1): Observable<Event1> {
    return play(this.#script, input as RunAgentInput, this.#abort.promise);
  }

  override abortRun(): void {
    this.#abort.resolve();
  }
}
