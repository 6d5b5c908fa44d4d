import { type EventLike, stringField } from "./event.ts";

/** Of a message whose content is not known well enough to be compared. It equals every digest. */
export const UNKNOWN_DIGEST = 0;

/** FNV-1a, 32 bits, over UTF-16 units: https://datatracker.ietf.org/doc/draft-eastlake-fnv/. */
const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** A message of a thread, and a hash of its content: `digestOfMessage`. */
export type MessageDigest = readonly [id: string, digest: number];

function hashText(hash: number, text: string): number {
  let mixed = hash;
  for (let at = 0; at < text.length; at++) mixed = Math.imul(mixed ^ text.charCodeAt(at), PRIME);
  return mixed;
}

function hashNumber(hash: number, value: number): number {
  return Math.imul(Math.imul(hash ^ (value & 0xffff), PRIME) ^ (value >>> 16), PRIME);
}

const EMPTY = hashText(OFFSET_BASIS, "");

function hashValue(hash: number, value: unknown): number {
  if (typeof value === "string") return hashText(hash, value);
  if (typeof value !== "object" || value === null) return hashText(hash, String(value));
  let mixed = hash;
  for (const key of Object.keys(value)) {
    const field = (value as Record<string, unknown>)[key];
    // JSON leaves out a field that is undefined.
    if (field !== undefined) mixed = hashValue(hashText(mixed, key), field);
  }
  return mixed;
}

/** What a client shows of a message, hashed field by field. */
interface Parts {
  role: string;
  content: number;
  /** The id of the call that a tool message answers, or "". */
  toolCallId: string;
  /** By id, the hashes of the tool calls that an assistant makes. */
  calls: Map<string, Call> | null;
}

interface Call {
  name: string;
  args: number;
}

function digestOf({ role, content, toolCallId, calls }: Parts): number {
  let hash = hashNumber(hashText(hashText(OFFSET_BASIS, role), toolCallId), content);
  for (const [id, call] of calls ?? []) {
    hash = hashNumber(hashText(hashText(hash, id), call.name), call.args);
  }
  // 0 says that nothing is known.
  return hash >>> 0 || 1;
}

/**
 * A hash, from 1 to 2^32 - 1, of what a client shows of a message: its role, its content, its tool calls,
 * the call that it answers. `UNKNOWN_DIGEST` for what is no message or cannot be read.
 */
export function digestOfMessage(message: unknown): number {
  try {
    const parts = partsOf(message);
    return parts === null ? UNKNOWN_DIGEST : digestOf(parts);
  } catch {
    // A getter that throws, or a value that contains itself: such a message is not compared.
    return UNKNOWN_DIGEST;
  }
}

function partsOf(message: unknown): Parts | null {
  if (typeof message !== "object" || message === null) return null;
  const { role, content, toolCallId, toolCalls } = message as Record<string, unknown>;
  return {
    role: typeof role === "string" ? role : "",
    // Clients leave out a content that is empty, or send null.
    content: hashValue(EMPTY, content ?? ""),
    toolCallId: typeof toolCallId === "string" ? toolCallId : "",
    calls: Array.isArray(toolCalls) ? new Map(toolCalls.map(callOf)) : null,
  };
}

function callOf(call: unknown): [id: string, call: Call] {
  const { id, function: called } = (call ?? {}) as { id?: unknown; function?: unknown };
  const { name, arguments: args } = (called ?? {}) as { name?: unknown; arguments?: unknown };
  return [String(id), { name: String(name), args: hashValue(EMPTY, args ?? "") }];
}

/**
 * The messages that events stream, or carry as history (in the input of a RUN_STARTED, and in a
 * MESSAGES_SNAPSHOT): their ids, and digests of their content.
 *
 * A digest that a stream of events leads to equals `digestOfMessage` of the message that a client makes
 * of the same events. Events of one message may be split in any way. Messages without an id, or with an
 * empty one, are left out.
 */
export class MessageDigests {
  /** Null for a message of which only the id is known. */
  readonly #messages = new Map<string, Parts | null>();
  /** By the id of a tool call, the id of the message that makes it. */
  #callers: Map<string, string> | null = null;

  get size(): number {
    return this.#messages.size;
  }

  /** By message id, its digest, in the order in which the messages came. */
  entries(): readonly MessageDigest[] {
    return Array.from(this.#messages, ([id, parts]) => [
      id,
      parts === null ? UNKNOWN_DIGEST : digestOf(parts),
    ]);
  }

  /** Adds one event. Throws what a getter of the event throws. */
  observe(event: EventLike): void {
    switch (event.type) {
      case "TEXT_MESSAGE_START":
        this.#begin(event.messageId, stringField(event, "role") ?? "assistant");
        return;
      case "REASONING_MESSAGE_START":
        this.#begin(event.messageId, "reasoning");
        return;
      case "TEXT_MESSAGE_CONTENT":
      case "REASONING_MESSAGE_CONTENT":
      case "TOOL_CALL_ARGS":
        this.#addDelta(event);
        return;
      case "TOOL_CALL_START":
        this.#beginCall(event);
        return;
      case "TOOL_CALL_RESULT":
        this.#put({ ...event, id: event.messageId, role: stringField(event, "role") ?? "tool" });
        return;
      case "MESSAGES_SNAPSHOT":
        // What is not in the snapshot is gone from a client, or stays: not looked at.
        for (const id of this.#messages.keys()) this.#messages.set(id, null);
        this.#putAll(event.messages, { replace: true });
        return;
      case "RUN_STARTED":
        this.#putAll((event.input as { messages?: unknown } | null | undefined)?.messages, {
          replace: false,
        });
        return;
      default:
        // Chunks, activities and what is not known: the ids of messages whose content is not looked at.
        if (isId(event.messageId) && !this.#messages.has(event.messageId)) {
          this.#messages.set(event.messageId, null);
        }
    }
  }

  /** Adds text to a message or to the arguments of a tool call: what a delta event says, without one. */
  add(type: string, id: string, delta: string): void {
    if (type === "TOOL_CALL_ARGS") {
      const call = this.#messages.get(this.#callers?.get(id) ?? "")?.calls?.get(id);
      if (call !== undefined) call.args = hashText(call.args, delta);
      return;
    }
    const message = this.#messages.get(id);
    if (message === undefined && isId(id)) this.#messages.set(id, null);
    else if (message) message.content = hashText(message.content, delta);
  }

  #addDelta({ type, messageId, toolCallId, delta }: EventLike): void {
    const id = type === "TOOL_CALL_ARGS" ? toolCallId : messageId;
    if (typeof id === "string" && typeof delta === "string") this.add(type, id, delta);
  }

  #begin(id: unknown, role: string): void {
    if (!isId(id) || this.#messages.get(id)) return;
    this.#messages.set(id, { role, content: EMPTY, toolCallId: "", calls: null });
  }

  #beginCall(event: EventLike): void {
    const { toolCallId, parentMessageId, toolCallName } = event;
    if (typeof toolCallId !== "string") return;
    const id = this.#callers?.get(toolCallId) ?? this.#callerFor(toolCallId, parentMessageId);
    this.#begin(id, "assistant");
    const message = this.#messages.get(id);
    if (!message) return;
    message.calls ??= new Map();
    const name = String(toolCallName);
    const begun = message.calls.get(toolCallId);
    if (begun === undefined) message.calls.set(toolCallId, { name, args: EMPTY });
    else begun.name = name;
    this.#callers ??= new Map();
    this.#callers.set(toolCallId, id);
  }

  /** The id of the message that makes a call: its parent, if that can make one. */
  #callerFor(toolCallId: string, parentId: unknown): string {
    if (!isId(parentId)) return toolCallId;
    const role = this.#messages.get(parentId)?.role;
    return role === undefined || role === "assistant" ? parentId : toolCallId;
  }

  #putAll(messages: unknown, { replace }: { readonly replace: boolean }): void {
    if (!Array.isArray(messages)) return;
    for (const message of messages as unknown[]) {
      if (typeof message !== "object" || message === null) continue;
      const { id } = message as { id?: unknown };
      if (replace || !isId(id) || !this.#messages.get(id)) this.#put(message);
    }
  }

  #put(message: object): void {
    const { id } = message as { id?: unknown };
    if (isId(id)) this.#messages.set(id, partsOf(message));
  }
}

function isId(id: unknown): id is string {
  return typeof id === "string" && id !== "";
}

/** The messages in `events`. What is no event is passed over. */
export function digestsOf(events: readonly EventLike[]): readonly MessageDigest[] {
  const messages = new MessageDigests();
  for (const event of events) {
    if (typeof event === "object" && event !== null) messages.observe(event);
  }
  return messages.entries();
}
