import { type EventLike, stringField } from "./event.ts";
import { EMPTY_HASH, hashNumber, hashText } from "./hash.ts";

/** The digest of a message whose content is not fully known. It counts as equal to every digest. */
export const UNKNOWN_DIGEST = 0;

/** A message of a thread, and a hash of its content: see `digestOfMessage`. */
export type MessageDigest = readonly [id: string, digest: number];

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

/** The parts of a message that a client shows, hashed field by field. */
interface Parts {
  role: string;
  content: number;
  /** The id of the call that a tool message answers, or "". */
  toolCallId: string;
  /** The tool calls of an assistant message, by id. */
  calls: Map<string, Call> | null;
}

interface Call {
  name: string;
  args: number;
}

const NO_CALLS: ReadonlyMap<string, Call> = new Map();

function digestOf({ role, content, toolCallId, calls }: Parts): number {
  let hash = hashNumber(hashText(hashText(EMPTY_HASH, role), toolCallId), content);
  for (const [id, call] of calls ?? NO_CALLS) {
    hash = hashNumber(hashText(hashText(hash, id), call.name), call.args);
  }
  // 0 is `UNKNOWN_DIGEST`.
  return hash >>> 0 || 1;
}

/**
 * A hash, from 1 to 2^32 - 1, of what a client shows of a message: its role, its content, its tool
 * calls, the call that it answers. `UNKNOWN_DIGEST` for a value that is no message or cannot be read.
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
    content: hashValue(EMPTY_HASH, content ?? ""),
    toolCallId: typeof toolCallId === "string" ? toolCallId : "",
    calls: Array.isArray(toolCalls) ? new Map(toolCalls.map(callOf)) : null,
  };
}

function callOf(call: unknown): [id: string, call: Call] {
  const { id, function: called } = (call ?? {}) as { id?: unknown; function?: unknown };
  const { name, arguments: args } = (called ?? {}) as { name?: unknown; arguments?: unknown };
  return [String(id), { name: String(name), args: hashValue(EMPTY_HASH, args ?? "") }];
}

/**
 * The messages in events: their ids, and digests of their content. Streamed messages count, and those
 * in the input of a RUN_STARTED and in a MESSAGES_SNAPSHOT.
 *
 * The digest of a streamed message equals `digestOfMessage` of the message that a client makes from the
 * same events, however its deltas are split. Messages without an id, or with an empty id, are left out.
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
    const entries: MessageDigest[] = [];
    for (const [id, parts] of this.#messages) {
      entries.push([id, parts === null ? UNKNOWN_DIGEST : digestOf(parts)]);
    }
    return entries;
  }

  /** Adds one event. An error that a getter of the event throws is thrown on. */
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
        // A client may keep or drop a message that is not in the snapshot: its content is unknown now.
        for (const id of this.#messages.keys()) this.#messages.set(id, null);
        this.#putAll(event.messages, { replace: true });
        return;
      case "RUN_STARTED":
        this.#putAll((event.input as { messages?: unknown } | null | undefined)?.messages, {
          replace: false,
        });
        return;
      default:
        // Chunks, activities and unknown types: note the id of the message, not its content.
        if (isId(event.messageId) && !this.#messages.has(event.messageId)) {
          this.#messages.set(event.messageId, null);
        }
    }
  }

  /** Adds a delta to a message or to the arguments of a tool call. */
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
    this.#messages.set(id, { role, content: EMPTY_HASH, toolCallId: "", calls: null });
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
    if (begun === undefined) message.calls.set(toolCallId, { name, args: EMPTY_HASH });
    else begun.name = name;
    this.#callers ??= new Map();
    this.#callers.set(toolCallId, id);
  }

  /** The id of the message that makes a call: its parent message, if that is an assistant message. */
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

/** The messages in `events`. Values that are no events are skipped. */
export function digestsOf(events: readonly EventLike[]): readonly MessageDigest[] {
  const messages = new MessageDigests();
  for (const event of events) {
    if (typeof event === "object" && event !== null) messages.observe(event);
  }
  return messages.entries();
}
