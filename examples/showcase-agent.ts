import { AbstractAgent } from "@ag-ui/client";
import type { AGUIEvent, RunAgentInput } from "@ag-ui/core";
import { Observable } from "rxjs";
import { answer } from "./showcase-answer.ts";

/**
 * An agent that needs no key and answers at the pace of a model: a token takes `paceMs` milliseconds.
 */
export class ShowcaseAgent extends AbstractAgent {
  // Not `#private`: AbstractAgent.clone() runs no constructor, so a clone would lack such fields.
  private paceMs: number;
  private abort: AbortController | undefined;

  constructor(paceMs: number) {
    super({ description: "Answers from a few notes about this server, without a model." });
    this.paceMs = paceMs;
  }

  /** The runtime runs a clone for every request. */
  override clone(): ShowcaseAgent {
    const clone = super.clone() as ShowcaseAgent;
    clone.paceMs = this.paceMs;
    return clone;
  }

  // The abort controller has to exist from the first tick of a run: `run` is called a few ticks later.
  override runAgent(
    ...args: Parameters<AbstractAgent["runAgent"]>
  ): ReturnType<AbstractAgent["runAgent"]> {
    this.abort = new AbortController();
    return super.runAgent(...args);
  }

  override abortRun(): void {
    this.abort?.abort();
  }

  override run(input: RunAgentInput): Observable<AGUIEvent> {
    const aborted = this.abort?.signal;
    return new Observable((subscriber) => {
      const beats = answer(input);
      let timer: NodeJS.Timeout | undefined;
      const play = () => {
        const beat = beats.next();
        if (beat.done) return subscriber.complete();
        const [event, tokens] = beat.value;
        subscriber.next(event);
        timer = setTimeout(play, tokens * this.paceMs);
      };
      // An aborted run ends without a terminal event. The runner closes its open parts.
      const end = () => subscriber.complete();
      aborted?.addEventListener("abort", end);
      if (aborted?.aborted) end();
      else play();
      return () => {
        clearTimeout(timer);
        aborted?.removeEventListener("abort", end);
      };
    });
  }
}
