import type { EventLike } from "../events/event.ts";
import { isFields, type Message, type ToolCall, toolCallsOf } from "../events/view/message.ts";
import type { ThreadSummary } from "../store/thread-store.ts";

/**
 * A thread as CopilotKit's clients know it. They show neither of the two ids of its owner, so both are
 * empty: a resource id is the application's own business.
 */
export function threadRecord(thread: ThreadSummary): object {
  const { id, title, agentId, archived, createdAt, updatedAt, lastRun, isRunning } = thread;
  const updated = isoTime(updatedAt);
  return {
    id,
    name: title,
    agentId: agentId ?? "",
    organizationId: "",
    createdById: "",
    archived,
    createdAt: isoTime(createdAt),
    updatedAt: updated,
    // Clients sort by it, so it has to follow the order of the list.
    ...(lastRun !== null || isRunning ? { lastRunAt: updated } : {}),
  };
}

/** Milliseconds on either side of the epoch that a `Date` holds. */
const MAX_TIME = 8.64e15;

/** Another program may have stored what is no time: that must not cost its user the whole list. */
function isoTime(ms: number): string {
  const valid = Math.min(Math.max(Number(ms) || 0, -MAX_TIME), MAX_TIME);
  return new Date(valid).toISOString();
}

/** A message as the runtime's route gives it: tool calls are flat, and only these fields are there. */
export function messageRecord(message: Message): object {
  const { id, role, content, toolCallId, activityType } = message;
  const toolCalls = toolCallsOf(message).map(toolCallRecord);
  return {
    id,
    role,
    ...(content === undefined ? {} : { content }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
    ...(activityType === undefined ? {} : { activityType }),
  };
}

function toolCallRecord({ id, function: called }: ToolCall): object {
  const { name, arguments: args } = isFields(called) ? called : {};
  return { id, name, args };
}

/** An event without the `forwardedProps` of its input: clients send tokens in them. */
export function shownEvent(event: EventLike): EventLike {
  if (!isFields(event.input) || !("forwardedProps" in event.input)) return event;
  return { ...event, input: { ...event.input, forwardedProps: {} } };
}
