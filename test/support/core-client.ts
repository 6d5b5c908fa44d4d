import { CopilotKitCore, ProxiedCopilotRuntimeAgent } from "@copilotkit/core";
import type { CopilotServer } from "./copilot-server.ts";

export interface CoreClientOptions {
  readonly threadId: string;
  /** How the server is asked. Default `"rest"`. */
  readonly transport?: "rest" | "single";
  /** What the client forwards with each run. */
  readonly properties?: Record<string, unknown>;
}

/** CopilotKit's client of a page that was just loaded. */
export function openCoreClient({ runtimeUrl }: CopilotServer, options: CoreClientOptions) {
  const { threadId, transport = "rest", properties = {} } = options;
  const agent = new ProxiedCopilotRuntimeAgent({
    runtimeUrl,
    agentId: "default",
    threadId,
    transport,
  });
  const core = new CopilotKitCore({
    runtimeUrl,
    runtimeTransport: transport,
    properties,
    deferInitialConnection: true,
  });
  // As an agent that the server has named: the client follows what it emits.
  core.addAgent__unsafe_dev_only({ id: "default", agent });
  const failures: string[] = [];
  core.subscribe({ onError: ({ error }) => void failures.push(error.message) });
  return {
    core,
    agent,
    /** What the client said went wrong. */
    failures,
    run: () => core.runAgent({ agent }),
    say: (id: string, content = `text of ${id}`) => {
      agent.addMessage({ id, role: "user", content });
      return core.runAgent({ agent });
    },
    connect: () => core.connectAgent({ agent }),
  };
}

export type CoreClient = ReturnType<typeof openCoreClient>;

/** What a client holds of its thread. */
export const heldBy = ({ agent }: CoreClient) => ({
  messages: agent.messages,
  state: agent.state,
  pendingInterrupts: agent.pendingInterrupts,
});

/** The ids of the client's messages; a role instead, if the client made the id itself. */
export const listOf = ({ agent }: CoreClient) =>
  agent.messages.map(({ id, role }) => (id.length === 36 ? role : id));
