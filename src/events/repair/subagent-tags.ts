import { type EventLike, stringField } from "../event.ts";
import { withoutField } from "./repair-fields.ts";

/** By id of a message, call or activity, its `subagentRunId`. Undefined for the parent agent. */
type TagById = Map<string, string | undefined>;

/**
 * Which subagent the messages, tool calls and activities of a run belong to.
 *
 * A client rejects an event whose `subagentRunId`, its tag, differs from the tag of its message or tool
 * call. An event without a tag is never rejected. Tags are remembered until the run ends, also for parts
 * that have ended.
 */
export class SubagentTags {
  readonly #messages: TagById = new Map();
  readonly #toolCalls: TagById = new Map();
  readonly #reasoning: TagById = new Map();
  readonly #activities: TagById = new Map();

  clear(): void {
    for (const tags of [this.#messages, this.#toolCalls, this.#reasoning, this.#activities]) {
      tags.clear();
    }
  }

  /** Notes the tag of `event`. Returns `event`, without its tag if a different tag is known. */
  settle(event: EventLike): EventLike {
    switch (event.type) {
      case "TEXT_MESSAGE_START":
        return tagFirst(this.#messages, event);
      case "REASONING_START":
      case "REASONING_MESSAGE_START":
        return tagFirst(this.#reasoning, event);
      case "TOOL_CALL_START":
        return this.#settleToolCall(event);
      case "TEXT_MESSAGE_CONTENT":
      case "TEXT_MESSAGE_END":
        return agree(this.#messages, event.messageId, event);
      case "TOOL_CALL_ARGS":
      case "TOOL_CALL_END":
        return agree(this.#toolCalls, event.toolCallId, event);
      case "REASONING_MESSAGE_CONTENT":
      case "REASONING_MESSAGE_END":
      case "REASONING_END":
        return agree(this.#reasoning, event.messageId, event);
      case "REASONING_ENCRYPTED_VALUE":
        return agree(this.#tagsOfEntity(event), event.entityId, event);
      case "ACTIVITY_DELTA":
        return agree(this.#activities, event.messageId, event);
      case "ACTIVITY_SNAPSHOT":
        // A snapshot that does not replace the activity leaves its tag as it is.
        if (event.replace !== false || !this.#activities.has(event.messageId as string)) {
          this.#activities.set(event.messageId as string, stringField(event, "subagentRunId"));
        }
        return event;
      case "TOOL_CALL_RESULT":
        // The result belongs to the agent that executed the call. Another agent may have made the call.
        this.#messages.set(event.messageId as string, stringField(event, "subagentRunId"));
        return event;
      default:
        return event;
    }
  }

  /**
   * Notes the tags of messages. `authoritative` replaces known tags: true for a MESSAGES_SNAPSHOT,
   * false for the input of a run.
   */
  seed(messages: readonly unknown[], authoritative: boolean): void {
    for (const message of messages as readonly EventLike[]) {
      if (typeof message.id !== "string") continue;
      const tag = stringField(message, "subagentRunId");
      seedOne(this.#tagsOfRole(message.role), message.id, tag, authoritative);
      const toolCalls = Array.isArray(message.toolCalls) ? (message.toolCalls as unknown[]) : [];
      for (const call of toolCalls as ({ id?: unknown } | null | undefined)[]) {
        if (typeof call?.id === "string") seedOne(this.#toolCalls, call.id, tag, authoritative);
      }
    }
  }

  #settleToolCall(event: EventLike): EventLike {
    const id = event.toolCallId as string;
    const parentId = stringField(event, "parentMessageId");
    let settled = agree(this.#toolCalls, id, agree(this.#messages, parentId, event));
    let tag = stringField(settled, "subagentRunId");
    if (tag === undefined && parentId !== undefined && this.#messages.has(parentId)) {
      // Without a tag of its own, a call has the tag of its parent message.
      const inherited = this.#messages.get(parentId);
      if (this.#toolCalls.has(id) && this.#toolCalls.get(id) !== inherited) {
        settled = withoutField(settled, "parentMessageId");
      } else {
        tag = inherited;
      }
    }
    if (!this.#toolCalls.has(id)) this.#toolCalls.set(id, tag);
    return settled;
  }

  #tagsOfEntity(event: EventLike): TagById {
    if (event.subtype === "tool-call") return this.#toolCalls;
    const ofMessage = event.subtype === "message" && this.#messages.has(event.entityId as string);
    return ofMessage ? this.#messages : this.#reasoning;
  }

  #tagsOfRole(role: unknown): TagById {
    if (role === "reasoning") return this.#reasoning;
    return role === "activity" ? this.#activities : this.#messages;
  }
}

/** Notes the tag of an event that opens an id. The first such event decides the tag. */
function tagFirst(tags: TagById, event: EventLike): EventLike {
  const id = event.messageId as string;
  const settled = agree(tags, id, event);
  if (!tags.has(id)) tags.set(id, stringField(settled, "subagentRunId"));
  return settled;
}

/** Returns `event`, without its tag if a different tag is known for `id`. */
function agree(tags: TagById, id: unknown, event: EventLike): EventLike {
  const tag = event.subagentRunId;
  if (tag === undefined || typeof id !== "string" || !tags.has(id)) return event;
  return tags.get(id) === tag ? event : withoutField(event, "subagentRunId");
}

function seedOne(tags: TagById, id: string, tag: string | undefined, authoritative: boolean): void {
  if (authoritative || !tags.has(id)) tags.set(id, tag);
}
