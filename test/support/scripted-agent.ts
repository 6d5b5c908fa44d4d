import type { RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";

/** Any event, valid or not. */
export interface ScriptEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface ScriptContext {
  readonly input: RunAgentInput;
  /** Resolves when the run is told to abort. */
  readonly aborted: Promise<void>;
}

/** The script of an agent: yields its events, and may await anything between them. */
export type Script = (context: ScriptContext) => AsyncIterable<ScriptEvent> | Iterable<ScriptEvent>;

export interface ScriptedAgent extends RunnableAgent {
  /** The inputs of its runs so far. */
  readonly inputs: RunAgentInput[];
  /** How often it was told to abort. */
  readonly aborts: () => number;
}

/** An agent that executes a script. It stops on an abort only where the script waits for that. */
export function scriptedAgent(script: Script): ScriptedAgent {
  const inputs: RunAgentInput[] = [];
  let aborts = 0;
  let abort = Promise.withResolvers<void>();
  return {
    inputs,
    aborts: () => aborts,
    async runAgent(input: RunAgentInput, { onEvent }) {
      inputs.push(input);
      abort = Promise.withResolvers<void>();
      for await (const event of script({ input, aborted: abort.promise })) {
        onEvent({ event });
      }
    },
    abortRun() {
      aborts++;
      abort.resolve();
    },
  };
}

type Ids = Pick<RunAgentInput, "threadId" | "runId">;

export const started = ({ threadId, runId }: Ids): ScriptEvent => ({
  type: "RUN_STARTED",
  threadId,
  runId,
});

export const finished = ({ threadId, runId }: Ids): ScriptEvent => ({
  type: "RUN_FINISHED",
  threadId,
  runId,
});

/** A whole text message, one delta a word. */
export function* text(messageId: string, content: string): Generator<ScriptEvent> {
  yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
  for (const delta of content.match(/\S+\s*/g) ?? []) {
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta };
  }
  yield { type: "TEXT_MESSAGE_END", messageId };
}

/** An agent that answers `answer to <runId>` in a message `answer-<runId>`, and finishes. */
export function answeringAgent(): ScriptedAgent {
  return scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* text(`answer-${input.runId}`, `answer to ${input.runId}`);
    yield finished(input);
  });
}

export interface HeldAgent extends ScriptedAgent {
  /** Resolves when the first half of its answer was emitted. */
  readonly halfway: Promise<void>;
  /** Lets it finish. */
  readonly release: () => void;
}

/** An agent that stops in the middle of a text message until it is released or aborted. */
export function heldAgent(): HeldAgent {
  const halfway = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const agent = scriptedAgent(async function* ({ input, aborted }) {
    const messageId = `answer-${input.runId}`;
    let stopped = false;
    yield started(input);
    yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "first half, " };
    halfway.resolve();
    const onAbort = aborted.then(() => {
      stopped = true;
    });
    await Promise.race([gate.promise, onAbort]);
    if (stopped) return;
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "second half" };
    yield { type: "TEXT_MESSAGE_END", messageId };
    yield finished(input);
  });
  return { ...agent, halfway: halfway.promise, release: gate.resolve };
}

/** An input; `messages` are user messages, given by their ids. */
/** A question, or an answer of an answering agent as its client sends it back. */
function messageOf(id: string): RunAgentInput["messages"][number] {
  const [, answered] = /^answer-(.*)$/.exec(id) ?? [];
  if (answered === undefined) return { id, role: "user", content: `text of ${id}` };
  return { id, role: "assistant", content: `answer to ${answered}` };
}

export function inputOf(
  threadId: string,
  runId: string,
  messages: readonly string[] = [`question-${runId}`],
): RunAgentInput {
  return {
    threadId,
    runId,
    messages: messages.map(messageOf),
    tools: [],
    context: [],
    state: {},
    forwardedProps: {},
  };
}
