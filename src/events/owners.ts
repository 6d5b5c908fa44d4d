import { type EventLike, stringField } from "./event.ts";
import { withoutField } from "./repair-fields.ts";

/** By id, the subagent that something belongs to: undefined is the parent agent. */
type OwnerById = Map<string, string | undefined>;

/**
 * Who owns the messages, tool calls and activities of a run. A client rejects a stream in which an
 * event names another subagent than the one that its message or call belongs to; an event without
 * a tag never disagrees. Owners outlive what they own, until the run ends.
 */
export class Owners {
  readonly #messages: OwnerById = new Map();
  readonly #toolCalls: OwnerById = new Map();
  readonly #reasoning: OwnerById = new Map();
  readonly #activities: OwnerById = new Map();

  clear(): void {
    for (const owners of [this.#messages, this.#toolCalls, this.#reasoning, this.#activities]) {
      owners.clear();
    }
  }

  /** Takes note of `event`, and returns it; without its tag if that contradicts an owner. */
  settle(event: EventLike): EventLike {
    switch (event.type) {
      case "TEXT_MESSAGE_START":
        return own(this.#messages, event);
      case "REASONING_START":
      case "REASONING_MESSAGE_START":
        return own(this.#reasoning, event);
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
        return agree(this.#ownersOfEntity(event), event.entityId, event);
      case "ACTIVITY_DELTA":
        return agree(this.#activities, event.messageId, event);
      case "ACTIVITY_SNAPSHOT":
        // One that does not replace leaves an activity to whom it belongs.
        if (event.replace !== false || !this.#activities.has(event.messageId as string)) {
          this.#activities.set(event.messageId as string, stringField(event, "subagentRunId"));
        }
        return event;
      case "TOOL_CALL_RESULT":
        // Belongs to who executed the call, whoever made it.
        this.#messages.set(event.messageId as string, stringField(event, "subagentRunId"));
        return event;
      default:
        return event;
    }
  }

  /** `authoritative`: a MESSAGES_SNAPSHOT takes over; the input of a run only fills in. */
  seed(messages: readonly unknown[], authoritative: boolean): void {
    for (const message of messages as readonly EventLike[]) {
      if (typeof message.id !== "string") continue;
      const owner = stringField(message, "subagentRunId");
      seedOne(this.#ownersOfRole(message.role), message.id, owner, authoritative);
      const toolCalls = Array.isArray(message.toolCalls) ? (message.toolCalls as unknown[]) : [];
      for (const call of toolCalls as ({ id?: unknown } | null | undefined)[]) {
        if (typeof call?.id === "string") seedOne(this.#toolCalls, call.id, owner, authoritative);
      }
    }
  }

  #settleToolCall(event: EventLike): EventLike {
    const id = event.toolCallId as string;
    const parentId = stringField(event, "parentMessageId");
    let settled = agree(this.#toolCalls, id, agree(this.#messages, parentId, event));
    let tag = stringField(settled, "subagentRunId");
    if (tag === undefined && parentId !== undefined && this.#messages.has(parentId)) {
      // Without a tag, a call belongs to whom its parent message belongs.
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

  #ownersOfEntity(event: EventLike): OwnerById {
    if (event.subtype === "tool-call") return this.#toolCalls;
    const ofMessage = event.subtype === "message" && this.#messages.has(event.entityId as string);
    return ofMessage ? this.#messages : this.#reasoning;
  }

  #ownersOfRole(role: unknown): OwnerById {
    if (role === "reasoning") return this.#reasoning;
    return role === "activity" ? this.#activities : this.#messages;
  }
}

/** The first to open an id owns it. */
function own(owners: OwnerById, event: EventLike): EventLike {
  const id = event.messageId as string;
  const settled = agree(owners, id, event);
  if (!owners.has(id)) owners.set(id, stringField(settled, "subagentRunId"));
  return settled;
}

function agree(owners: OwnerById, id: unknown, event: EventLike): EventLike {
  const tag = event.subagentRunId;
  if (tag === undefined || typeof id !== "string" || !owners.has(id)) return event;
  return owners.get(id) === tag ? event : withoutField(event, "subagentRunId");
}

function seedOne(
  owners: OwnerById,
  id: string,
  owner: string | undefined,
  authoritative: boolean,
): void {
  if (authoritative || !owners.has(id)) owners.set(id, owner);
}
