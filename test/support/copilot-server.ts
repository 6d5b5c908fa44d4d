import "../../examples/no-telemetry.ts";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AbstractAgent } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { Observable } from "rxjs";
import { onTestFinished } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import type { Script } from "./scripted-agent.ts";

const BASE_PATH = "/api/copilotkit";

/** A real agent of `@ag-ui/client` that executes a script. */
export class ScriptAgent extends AbstractAgent {
  readonly #script: Script;
  readonly #abort = Promise.withResolvers<void>();

  constructor(script: Script) {
    super();
    this.#script = script;
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable<BaseEvent>((subscriber) => {
      const play = async () => {
        for await (const event of this.#script({ input, aborted: this.#abort.promise })) {
          subscriber.next(event as unknown as BaseEvent);
        }
      };
      play().then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      );
    });
  }

  override abortRun(): void {
    this.#abort.resolve();
  }

  // The runtime clones its agents for each request.
  override clone(): ScriptAgent {
    return new ScriptAgent(this.#script);
  }
}

export interface CopilotServer {
  /** The `runtimeUrl` of CopilotKit's clients. */
  readonly runtimeUrl: string;
  readonly runUrl: string;
  readonly connectUrl: string;
  /** Whether there was a run to stop. */
  stop(threadId: string): Promise<boolean>;
  close(): Promise<void>;
}

/** The real CopilotRuntime on a free port, with one agent, closed with the test at the latest. */
export async function startCopilotServer(
  runner: SqliteAgentRunner,
  script: Script,
  mode: "multi-route" | "single-route" = "multi-route",
): Promise<CopilotServer> {
  const runtime = new CopilotRuntime({ runner, agents: { default: new ScriptAgent(script) } });
  const server = createServer(createCopilotNodeListener({ runtime, basePath: BASE_PATH, mode }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  onTestFinished(close);
  const { port } = server.address() as AddressInfo;
  const runtimeUrl = `http://127.0.0.1:${port}${BASE_PATH}`;
  const url = `${runtimeUrl}/agent/default`;
  return {
    runtimeUrl,
    runUrl: `${url}/run`,
    connectUrl: `${url}/connect`,
    async stop(threadId) {
      const response = await fetch(`${url}/stop/${encodeURIComponent(threadId)}`, {
        method: "POST",
      });
      const { stopped } = (await response.json()) as { stopped: boolean };
      return stopped;
    },
    close,
  };
}

/** Posts an input like a browser, and returns the whole answer. */
export async function post(url: string, input: RunAgentInput): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(input),
  });
}

/** The events in the body of an answer that is complete. */
export async function eventsIn(
  response: Response,
): Promise<{ type: string; [field: string]: unknown }[]> {
  return (await response.text())
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => JSON.parse(line.slice("data: ".length)) as { type: string });
}
