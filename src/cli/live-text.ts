import type { EventLike, Message } from "../index.ts";
import { heading, limited, messageText, type Shape } from "./conversation.ts";
import { shown } from "./format.ts";
import { styled } from "./print.ts";

/** Writes events as they come, as a conversation that a person reads. */
export class LiveText {
  readonly #shape: Shape;
  readonly #shownMessages = new Set<unknown>();
  /** The message or call whose text is being written, or null at the beginning of a line. */
  #open: unknown = null;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  of(event: EventLike): string {
    switch (event.type) {
      case "RUN_STARTED":
        return (
          this.#line(styled("dim", `--- run ${shown(String(event.runId))}`)) + this.#asked(event)
        );
      case "RUN_FINISHED":
        return this.#line(styled("dim", "--- finished"));
      case "RUN_ERROR": {
        const { message, code } = event;
        const text = `--- error: ${shown(String(message))}${code === undefined ? "" : ` (${shown(String(code))})`}`;
        return this.#line(styled("red", text));
      }
      case "TEXT_MESSAGE_START":
        this.#shownMessages.add(event.messageId);
        return this.#begin(event.messageId, heading(String(event.role ?? "assistant")));
      case "TEXT_MESSAGE_CONTENT":
        return this.#goOn(event.messageId, heading("assistant"), shown(String(event.delta)));
      case "TOOL_CALL_START":
        return this.#begin(
          event.toolCallId,
          styled("dim", `  -> ${shown(String(event.toolCallName))} `),
        );
      case "TOOL_CALL_ARGS":
        return this.#goOn(event.toolCallId, "  -> ", styled("dim", shown(String(event.delta))));
      case "TEXT_MESSAGE_END":
      case "TOOL_CALL_END":
        return this.#end();
      case "TOOL_CALL_RESULT":
        this.#shownMessages.add(event.messageId);
        return this.#line(styled("dim", `  = ${limited(String(event.content), this.#shape)}`));
      default:
        return "";
    }
  }

  /** The messages that the run was given and that were not shown before. */
  #asked(event: EventLike): string {
    const { input } = event as { input?: { messages?: unknown } };
    const messages = Array.isArray(input?.messages) ? (input.messages as Message[]) : [];
    const unseen = messages.filter(({ id }) => !this.#shownMessages.has(id));
    for (const { id } of unseen) this.#shownMessages.add(id);
    return unseen.map((message) => messageText(message, this.#shape)).join("");
  }

  #begin(id: unknown, text: string): string {
    const before = this.#end();
    this.#open = id;
    return before + text;
  }

  /** Parts of several messages may alternate: each change begins a line. */
  #goOn(id: unknown, beginning: string, text: string): string {
    return this.#open === id ? text : this.#begin(id, beginning) + text;
  }

  #end(): string {
    if (this.#open === null) return "";
    this.#open = null;
    return "\n";
  }

  #line(text: string): string {
    return `${this.#end()}${text}\n`;
  }
}
