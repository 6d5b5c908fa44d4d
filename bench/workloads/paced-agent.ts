import { type BaseEvent, EventType, type RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";
import { answerId, deltasOf, deltaText } from "./agents.ts";

/** An agent that emits an event each time it is told to. It has one run at a time. */
export class PacedAgent implements RunnableAgent {
  readonly agentId = "bench";
  #emit: ((event: BaseEvent) => void) | null = null;
  #finish: () => void = () => {};
  #ids = { threadId: "", runId: "" };
  #deltas = 0;
  #at = 0;

  /** The number of events of the next run. */
  eventsPerRun = 24;

  /** True while a run waits for its events. */
  get ready(): boolean {
    return this.#emit !== null;
  }

  runAgent(
    { threadId, runId }: Pick<RunAgentInput, "threadId" | "runId">,
    { onEvent }: { onEvent(params: { event: BaseEvent }): void },
  ): Promise<void> {
    this.#ids = { threadId, runId };
    this.#deltas = deltasOf(this.eventsPerRun);
    this.#at = 0;
    this.#emit = (event) => onEvent({ event });
    return new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Emits the run's next event. `delta` is its text, if it is a text event. */
  step(delta?: string): void {
    const emit = this.#emit;
    if (emit === null) return;
    const { threadId, runId } = this.#ids;
    const messageId = answerId(runId);
    const at = this.#at++ - 2;
    if (at === -2) {
      emit({ type: EventType.RUN_STARTED, threadId, runId });
    } else if (at === -1) {
      emit({ type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" });
    } else if (at < this.#deltas) {
      emit({ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta: delta ?? deltaText(at) });
    } else if (at === this.#deltas) {
      emit({ type: EventType.TEXT_MESSAGE_END, messageId });
    } else {
      this.#emit = null;
      emit({ type: EventType.RUN_FINISHED, threadId, runId });
      this.#finish();
    }
  }

  /** Emits the events that end a run, without the rest of its text. */
  end(): void {
    this.#at = Math.max(this.#at, this.#deltas + 2);
    while (this.ready) this.step();
  }

  abortRun(): void {
    this.#emit = null;
    this.#finish();
  }
}
