import { type AgentStateMutation, HttpAgent } from "@ag-ui/client";
import { type BaseEvent, EventType, type Message } from "@ag-ui/core";

/** A run as a client saw it. */
export interface SeenRun {
  readonly runId: string;
  /** The terminal event, or undefined before it has come. */
  end?: BaseEvent & { code?: string; result?: unknown };
}

/** The state of a client at the end of its stream. */
export interface Seen {
  readonly runs: readonly SeenRun[];
  readonly events: number;
  readonly messages: Message[];
  /** Why the stream has no proper end: its connection was cut, or an event was invalid. */
  readonly failure?: string | undefined;
}

/** Sends a message after the client's other messages, and follows the run to its end. */
export function ask(
  url: string,
  threadId: string,
  history: Message[],
  text: string,
  onEvent?: (count: number) => void,
) {
  const question: Message = { id: crypto.randomUUID(), role: "user", content: text };
  return follow(`${url}/run`, threadId, [...history, question], onEvent);
}

/** Connects like a page that is opened: gets the history, then the live run if there is one. */
export function connect(url: string, threadId: string) {
  return follow(`${url}/connect`, threadId, []);
}

/** True if there was a run to stop. */
export async function stop(url: string, threadId: string): Promise<boolean> {
  const response = await fetch(`${url}/stop/${threadId}`, { method: "POST" });
  const { stopped } = (await response.json()) as { stopped?: boolean };
  return stopped === true;
}

// HttpAgent does not implement `connect`. Both endpoints use the same protocol, so `runAgent` works for
// both. It passes all events through its schemas, its verifier and its reducer.
async function follow(
  url: string,
  threadId: string,
  initialMessages: Message[],
  onEvent?: (count: number) => void,
): Promise<Seen> {
  const runs: SeenRun[] = [];
  let events = 0;
  let failure: string | undefined;
  const fail = (error: unknown) => {
    failure ??= error instanceof Error ? error.message : String(error);
  };

  const agent = new HttpAgent({
    url,
    threadId,
    initialMessages,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      return new Response(
        response.body && ReadableStream.from(untilCut(response.body, fail)),
        response,
      );
    },
  });
  await agent
    .runAgent(undefined, {
      onEvent({ event }) {
        events++;
        if (event.type === EventType.RUN_STARTED)
          runs.push({ runId: (event as { runId?: string }).runId ?? "" });
        const run = runs.at(-1);
        if (run && (event.type === EventType.RUN_FINISHED || event.type === EventType.RUN_ERROR))
          run.end = event;
        onEvent?.(events);
      },
      onRunFailed({ error }): AgentStateMutation {
        fail(error);
        return { stopPropagation: true }; // Or the agent writes the error to the console as well.
      },
    })
    .catch(fail);
  return { runs, events, messages: agent.messages, failure };
}

/** Ends a cut stream without an error: HttpAgent would leave the rejection unhandled. */
async function* untilCut(body: ReadableStream<Uint8Array>, onCut: (error: unknown) => void) {
  try {
    yield* body;
  } catch (error) {
    onCut(error);
  }
}
