import { type AGUIEvent, EventType, type RunAgentInput } from "@ag-ui/core";
import { findNote } from "./showcase-notes.ts";

const SIGNATURE = "I am a demo agent without a model: your words chose the note.";

/** An event of the answer, and how many tokens a model would produce before the next event. */
export type Beat = readonly [event: AGUIEvent, tokens: number];

/**
 * The answer to the last user message, with every kind of part that a client has to handle: steps,
 * reasoning, a tool call whose arguments arrive in pieces, its result, state, and text. Every id is
 * derived from the run id, so that no two runs share an id.
 */
export function* answer({ threadId, runId, messages }: RunAgentInput): Generator<Beat> {
  const question = lastQuestion(messages);
  const note = findNote(question);
  const reasoningId = `${runId}-reasoning`;
  const toolCallId = `${runId}-search`;
  const messageId = `${runId}-answer`;

  yield [{ type: EventType.RUN_STARTED, threadId, runId }, 2];

  yield [{ type: EventType.STEP_STARTED, stepName: "search" }, 1];
  yield [{ type: EventType.REASONING_START, messageId: reasoningId }, 1];
  yield [{ type: EventType.REASONING_MESSAGE_START, messageId: reasoningId, role: "reasoning" }, 1];
  for (const delta of tokensOf("I should look this up in the notes before I say anything.")) {
    yield [{ type: EventType.REASONING_MESSAGE_CONTENT, messageId: reasoningId, delta }, 1];
  }
  yield [{ type: EventType.REASONING_MESSAGE_END, messageId: reasoningId }, 0];
  yield [{ type: EventType.REASONING_END, messageId: reasoningId }, 1];

  yield [
    { type: EventType.STATE_SNAPSHOT, snapshot: { status: "searching", question, sources: [] } },
    1,
  ];
  yield [{ type: EventType.TOOL_CALL_START, toolCallId, toolCallName: "search_notes" }, 1];
  for (const delta of tokensOf(JSON.stringify({ query: question }))) {
    yield [{ type: EventType.TOOL_CALL_ARGS, toolCallId, delta }, 1];
  }
  yield [{ type: EventType.TOOL_CALL_END, toolCallId }, 12];
  const content = JSON.stringify(note);
  yield [
    {
      type: EventType.TOOL_CALL_RESULT,
      messageId: `${toolCallId}-result`,
      toolCallId,
      role: "tool",
      content,
    },
    2,
  ];
  const found = { op: "add", path: "/sources/-", value: note.title };
  yield [{ type: EventType.STATE_DELTA, delta: [found, status("answering")] }, 1];
  yield [{ type: EventType.STEP_FINISHED, stepName: "search" }, 1];

  yield [{ type: EventType.STEP_STARTED, stepName: "answer" }, 1];
  yield [{ type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" }, 1];
  for (const delta of tokensOf(`**${note.title}.** ${note.text}\n\n${SIGNATURE}`)) {
    yield [{ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta }, 1];
  }
  yield [{ type: EventType.TEXT_MESSAGE_END, messageId }, 1];
  yield [{ type: EventType.STATE_DELTA, delta: [status("done")] }, 0];
  yield [{ type: EventType.STEP_FINISHED, stepName: "answer" }, 0];

  yield [{ type: EventType.RUN_FINISHED, threadId, runId, result: { source: note.title } }, 0];
}

function lastQuestion(messages: RunAgentInput["messages"]): string {
  const content = messages.findLast((message) => message.role === "user")?.content ?? "";
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join(" ");
}

function status(value: string) {
  return { op: "replace", path: "/status", value };
}

/** Splits a text into pieces of about the size that models stream. Joined, they give `text` again. */
function tokensOf(text: string): string[] {
  return text.match(/\s*\S{1,6}|\s+$/g) ?? [];
}
