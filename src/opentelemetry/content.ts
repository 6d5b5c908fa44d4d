import type { EventLike } from "../events/event.ts";

/** A message in the form of the conventions. */
interface ChatMessage {
  readonly role: string;
  readonly parts: Part[];
  finish_reason?: string;
}

type Part = { readonly type: string } & Readonly<Record<string, unknown>>;

type Fields = Readonly<Record<string, unknown>>;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Messages of AG-UI as the JSON of `gen_ai.input.messages`. Only texts, tool calls and results are taken. */
export function inputMessages(messages: unknown): string | null {
  if (!Array.isArray(messages)) return null;
  return JSON.stringify((messages as Fields[]).map(chatMessageOf));
}

function chatMessageOf({ role, content, toolCalls, toolCallId }: Fields): ChatMessage {
  if (role === "tool") {
    return { role, parts: [{ type: "tool_call_response", id: toolCallId, response: content }] };
  }
  const calls = Array.isArray(toolCalls) ? (toolCalls as Fields[]) : [];
  const called = calls.map(({ id, function: of }) => {
    const { name, arguments: args } = (of ?? {}) as Fields;
    return { type: "tool_call", id, name, arguments: parsed(textOf(args)) };
  });
  return { role: textOf(role), parts: [...partsOf(content), ...called] };
}

/** The parts of a content. Of images and files, only the kind is told. */
function partsOf(content: unknown): Part[] {
  if (typeof content === "string") return [{ type: "text", content }];
  if (!Array.isArray(content)) return [];
  return (content as Fields[]).map(({ type, text }) =>
    type === "text" ? { type, content: textOf(text) } : { type: textOf(type) },
  );
}

/** A JSON text as its value, and any other text as it is. */
export function parsed(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}

/** Gathers the messages that a run emits. */
export class OutputMessages {
  /** By the id of the message. */
  readonly #messages = new Map<string, { readonly role: string; text: string }>();
  #lastChunk = "";

  observe(event: EventLike): void {
    switch (event.type) {
      case "TEXT_MESSAGE_START":
        this.#begin(textOf(event.messageId), event.role);
        return;
      case "TEXT_MESSAGE_CONTENT":
        this.#add(textOf(event.messageId), event.delta);
        return;
      case "TEXT_MESSAGE_CHUNK":
        this.#lastChunk = textOf(event.messageId) || this.#lastChunk;
        this.#begin(this.#lastChunk, event.role);
        this.#add(this.#lastChunk, event.delta);
    }
  }

  /** The JSON of `gen_ai.output.messages`, with tool calls behind the texts. Null if there is nothing. */
  json(calls: readonly Part[]): string | null {
    const messages = Array.from(this.#messages.values(), ({ role, text }): ChatMessage => {
      return { role, parts: [{ type: "text", content: text }], finish_reason: "stop" };
    });
    if (calls.length > 0) {
      messages.push({ role: "assistant", parts: [...calls], finish_reason: "tool_call" });
    }
    return messages.length === 0 ? null : JSON.stringify(messages);
  }

  #begin(id: string, role: unknown): void {
    if (!this.#messages.has(id))
      this.#messages.set(id, { role: textOf(role) || "assistant", text: "" });
  }

  #add(id: string, delta: unknown): void {
    const message = this.#messages.get(id);
    if (message !== undefined) message.text += textOf(delta);
  }
}
