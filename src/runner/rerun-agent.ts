import type { InputMessage, RunInput, RunnableAgent } from "./agent.ts";

/** The parts of an `AbstractAgent` of `@ag-ui/client` that hold what it runs on. */
interface AgentWithFields extends RunnableAgent {
  agentId?: string | undefined;
  threadId?: string | undefined;
  clone(): AgentWithFields;
  setMessages(messages: readonly InputMessage[]): void;
  setState(state: unknown): void;
}

/**
 * The agent that executes a rerun.
 *
 * An `AbstractAgent` reads the thread, the messages and the state from its own fields, not from the input, and one
 * instance executes one run at a time. CopilotKit's runtime clones the agent for each request and sets
 * these fields. A rerun has no request, so that is done here. Any other agent is returned as it is.
 */
export function agentOfRerun(
  agent: RunnableAgent,
  agentId: string | null,
  { threadId, messages, state }: RunInput,
): RunnableAgent {
  if (!hasFields(agent)) return agent;
  const clone = agent.clone();
  if (agentId !== null) clone.agentId ??= agentId;
  clone.threadId = threadId;
  clone.setMessages(messages);
  clone.setState(state);
  return clone;
}

function hasFields(agent: RunnableAgent): agent is AgentWithFields {
  const { clone, setMessages, setState } = (agent ?? {}) as Partial<AgentWithFields>;
  return [clone, setMessages, setState].every((method) => typeof method === "function");
}
