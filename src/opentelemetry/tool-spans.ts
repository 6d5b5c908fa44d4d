import { type Context, type Span, SpanKind, type Tracer } from "@opentelemetry/api";
import type { EventLike } from "../events/event.ts";
import { parsed } from "./content.ts";
import { ATTRIBUTE, OWN } from "./conventions.ts";

interface ToolCall {
  readonly id: string;
  readonly name: string;
  arguments: string;
  /** Null while the model writes the arguments. */
  span: Span | null;
  /** Of `performance.now()`. */
  beganAt: number;
}

export interface ToolSpansOptions {
  readonly tracer: Tracer;
  /** Has the span of the run. */
  readonly context: Context;
  /** Whether arguments and results are recorded. */
  readonly content: boolean;
  readonly onExecuted: (tool: string, seconds: number) => void;
}

/**
 * The `execute_tool` spans of a run: from the end of a call's arguments to its result. A call without a result
 * is executed by the client, after the run: its span ends with the run.
 */
export class ToolSpans {
  readonly #options: ToolSpansOptions;
  /** By the id of the call: calls without a result. */
  readonly #open = new Map<string, ToolCall>();
  readonly #all: ToolCall[] = [];
  #lastChunk = "";

  constructor(options: ToolSpansOptions) {
    this.#options = options;
  }

  observe(event: EventLike): void {
    const { type, toolCallId, toolCallName, delta, content } = event;
    const id = typeof toolCallId === "string" ? toolCallId : "";
    switch (type) {
      case "TOOL_CALL_START":
        this.#begin(id, toolCallName);
        return;
      case "TOOL_CALL_ARGS":
        this.#add(id, delta);
        return;
      case "TOOL_CALL_CHUNK":
        if (id !== "") this.#lastChunk = id;
        if (!this.#open.has(this.#lastChunk)) this.#begin(this.#lastChunk, toolCallName);
        this.#add(this.#lastChunk, delta);
        return;
      case "TOOL_CALL_END":
        this.#execute(this.#open.get(id));
        return;
      case "TOOL_CALL_RESULT":
        this.#executed(id, content);
    }
  }

  /** Ends the spans of calls without a result. */
  end(): void {
    for (const call of this.#open.values()) this.#endWithoutResult(call);
    this.#open.clear();
  }

  /** The calls as parts of messages. */
  get parts(): { type: string; id: string; name: string; arguments: unknown }[] {
    return this.#all.map(({ id, name, arguments: args }) => {
      return { type: "tool_call", id, name, arguments: parsed(args) };
    });
  }

  #endWithoutResult(call: ToolCall): void {
    this.#execute(call);
    call.span?.setAttribute(OWN.hasResult, false);
    call.span?.end();
  }

  #begin(id: string, name: unknown): void {
    // An agent may use an id again, or give none.
    const earlier = this.#open.get(id);
    if (earlier !== undefined) this.#endWithoutResult(earlier);
    const call = { id, name: typeof name === "string" ? name : "", arguments: "" };
    const whole: ToolCall = { ...call, span: null, beganAt: 0 };
    this.#open.set(id, whole);
    if (this.#options.content) this.#all.push(whole);
  }

  #add(id: string, delta: unknown): void {
    const call = this.#open.get(id);
    if (call !== undefined && typeof delta === "string" && this.#options.content) {
      call.arguments += delta;
    }
  }

  #execute(call: ToolCall | undefined): void {
    if (call === undefined || call.span !== null) return;
    const { tracer, context, content } = this.#options;
    call.beganAt = performance.now();
    call.span = tracer.startSpan(
      `execute_tool ${call.name}`,
      {
        kind: SpanKind.INTERNAL,
        attributes: {
          [ATTRIBUTE.operation]: "execute_tool",
          [ATTRIBUTE.tool]: call.name,
          [ATTRIBUTE.toolType]: "function",
          [ATTRIBUTE.toolCall]: call.id,
          ...(content && { [ATTRIBUTE.toolArguments]: call.arguments }),
        },
      },
      context,
    );
  }

  #executed(id: string, result: unknown): void {
    const call = this.#open.get(id);
    if (call === undefined) return;
    // A call in chunks has no TOOL_CALL_END.
    this.#execute(call);
    this.#open.delete(id);
    const { content, onExecuted } = this.#options;
    call.span?.setAttribute(OWN.hasResult, true);
    if (content && typeof result === "string") {
      call.span?.setAttribute(ATTRIBUTE.toolResult, result);
    }
    call.span?.end();
    onExecuted(call.name, (performance.now() - call.beganAt) / 1000);
  }
}
