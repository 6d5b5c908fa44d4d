import { ProxiedCopilotRuntimeAgent } from "@copilotkit/core";
import type { Wish } from "./served-agent.ts";

export interface Answered {
  readonly firstEventMs: number;
  readonly totalMs: number;
  /** That the client holds afterwards. */
  readonly messages: number;
}

/** One thread in a page: CopilotKit's client, which verifies and applies what the server sends. */
export class HttpClient {
  readonly #agent: ProxiedCopilotRuntimeAgent;

  constructor(runtimeUrl: string, threadId: string) {
    this.#agent = new ProxiedCopilotRuntimeAgent({
      ...{ runtimeUrl, threadId, agentId: "default", transport: "rest" },
    });
  }

  /** Says something, and resolves when the answer is complete. `onEvents` is told after each event. */
  async run(
    runId: string,
    wish: Wish,
    onEvents: (count: number) => void = () => {},
  ): Promise<Answered> {
    this.#agent.addMessage({ id: `${runId}-question`, role: "user", content: "And then?" });
    const parameters = { runId, forwardedProps: wish };
    return this.#timed((subscriber) => this.#agent.runAgent(parameters, subscriber), onEvents);
  }

  /** Resolves when the server has sent what the thread holds, and its live run, if any, has ended. */
  async connect(onEvents: (count: number) => void = () => {}): Promise<Answered> {
    return this.#timed((subscriber) => this.#agent.connectAgent({}, subscriber), onEvents);
  }

  async #timed(
    start: (subscriber: {
      onEvent: (params: { event: { type: string } }) => void;
    }) => Promise<unknown>,
    onEvents: (count: number) => void,
  ): Promise<Answered> {
    const startedAt = performance.now();
    let events = 0;
    let firstEventMs = 0;
    let last = "";
    await start({
      onEvent: ({ event }) => {
        if (events++ === 0) firstEventMs = performance.now() - startedAt;
        last = event.type;
        onEvents(events);
      },
    });
    // The client ends quietly when a connection breaks.
    if (last !== "RUN_FINISHED") throw new Error(`an answer ended with ${last || "nothing"}`);
    return {
      firstEventMs,
      totalMs: performance.now() - startedAt,
      messages: this.#agent.messages.length,
    };
  }
}
