import { setTimeout as delay } from "node:timers/promises";
import type { EventLike } from "../../src/events/event.ts";
import type { RunnableAgent, RunSubscriber } from "../../src/runner/agent.ts";
import type { AgentPlan } from "./plan.ts";

export interface AgentOptions {
  readonly plan: AgentPlan;
  readonly number: number;
  readonly threadId: string;
  readonly runId: string;
  /** An agent that waits to be aborted waits until this moment at most. */
  readonly waitsUntil: number;
  readonly onStart: () => void;
  readonly onEnd: () => void;
  readonly onAbort: () => void;
}

/** The message that the run of this number says: no other run has it. */
export const messageOf = (number: number) => `m${number}`;

/** Does what its plan says. Each of its events says of which run it is. */
export class SimulatedAgent implements RunnableAgent {
  readonly #options: AgentOptions;
  readonly #aborted = new AbortController();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  abortRun(): void {
    this.#options.onAbort();
    this.#aborted.abort();
  }

  async runAgent(_: unknown, { onEvent }: RunSubscriber): Promise<void> {
    const { onStart, onEnd } = this.#options;
    onStart();
    try {
      await this.#play((event) => onEvent({ event }));
    } finally {
      onEnd();
    }
  }

  async #play(emit: (event: EventLike) => void): Promise<void> {
    const { plan, number, threadId, runId, waitsUntil } = this.#options;
    const { signal } = this.#aborted;
    const messageId = messageOf(number);
    await this.#wait(plan.gapMs);
    if (signal.aborted && !plan.isDeaf) return;
    emit({ type: "RUN_STARTED", threadId, runId, number });
    emit({ type: "TEXT_MESSAGE_START", messageId, role: "assistant" });
    for (let piece = 0; piece < plan.pieces; piece++) {
      await this.#wait(plan.gapMs);
      if (signal.aborted && !plan.isDeaf) return;
      emit({ type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${number}.${piece} ` });
    }
    if (plan.ending === "waits to be aborted") {
      await delay(Math.max(1, waitsUntil - performance.now()), undefined, { signal }).catch(
        () => undefined,
      );
      return;
    }
    if (plan.ending === "throws") throw new Error("the agent threw this");
    if (plan.ending === "says nothing more") return;
    emit({ type: "TEXT_MESSAGE_END", messageId });
    emit({ type: "RUN_FINISHED", threadId, runId });
  }

  async #wait(ms: number): Promise<void> {
    if (ms > 0) await delay(ms);
  }
}
