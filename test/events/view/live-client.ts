import type { EventLike } from "../../../src/events/event.ts";
import type { View } from "../../../src/events/view/thread-view.ts";
import { ClientAgent0 } from "../../support/client-agents.ts";

/** A real client of 0.0.59 that is given the events of runs, as they come over the wire. */
export class LiveClient {
  #json = "[]";
  readonly #agent = new ClientAgent0(() => JSON.parse(this.#json) as EventLike[], {
    threadId: "t",
  });

  /** Adds `asked` to the client's messages, then runs an agent that emits `events`. */
  async run(asked: readonly object[], events: readonly EventLike[]): Promise<void> {
    this.#json = JSON.stringify(events);
    this.#agent.addMessages(structuredClone(asked) as never);
    const resume = this.#agent.pendingInterrupts.map(({ id }) => ({
      interruptId: id,
      status: "resolved" as const,
    }));
    await this.#agent.runAgent({ resume });
  }

  get view(): View {
    const { messages, state, pendingInterrupts } = this.#agent;
    return { messages: messages as never, state, pendingInterrupts };
  }
}
