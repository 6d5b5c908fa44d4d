import type { EventLike } from "../../index.ts";
import type { Mark, Span, SpanKind } from "../api.ts";
import type { FedEvent } from "./run-feed.ts";

const MAX_SPANS = 5000;
const MAX_MARKS = 1000;
const MAX_PREVIEW = 200;

type MutableSpan = { -readonly [Field in keyof Span]: Span[Field] };

/** What an event says of a span. */
interface Part {
  readonly kind: SpanKind;
  readonly id: string;
  readonly label: string | undefined;
  /** What the event adds to the beginning of the text. */
  readonly text: string | undefined;
  readonly ends: boolean;
}

const textOf = (value: unknown) => (typeof value === "string" ? value : undefined);

/** The steps and parts of a run, from its events in order. */
export class Timeline {
  readonly spans: MutableSpan[] = [];
  readonly marks: Mark[] = [];
  /** Whether there are more spans than `spans` has. */
  isCut = false;
  /** By kind and id, the place of a span. */
  readonly #places = new Map<string, number>();
  /** Places of the steps that have begun and not ended, the innermost last. */
  #steps: number[] = [];
  /** The ids that chunks without an id belong to, by kind. */
  readonly #last = new Map<SpanKind, string>();

  add({ type, at, bytes, json, isCut }: FedEvent, index: number): void {
    // Another program may have stored anything as an event.
    const event = ((isCut ? null : JSON.parse(json)) ?? {}) as Partial<EventLike>;
    const part = this.#partOf(type, event);
    if (part === null) {
      if (isMark(type) && this.marks.length < MAX_MARKS) {
        this.marks.push({ index, type, at, label: textOf(event.name) ?? "" });
      }
      return;
    }
    const key = `${part.kind} ${part.id}`;
    const known = this.#places.get(key);
    const span = known === undefined ? this.#open(key, part, { index, at }) : this.spans[known];
    if (span === undefined) return;
    span.to = index;
    span.endedAt = at;
    span.bytes += bytes;
    span.label ||= part.label ?? "";
    if (part.text !== undefined && span.preview.length < MAX_PREVIEW) {
      span.preview = (span.preview + part.text).slice(0, MAX_PREVIEW).toWellFormed();
    }
    if (!part.ends) return;
    span.isOpen = false;
    if (part.kind !== "step") return;
    // A step of the same name may come again, and is another one.
    this.#steps = this.#steps.filter((place) => place !== known);
    this.#places.delete(key);
  }

  #open(
    key: string,
    { kind, id, label = "", ends }: Part,
    { index, at }: { readonly index: number; readonly at: number | null },
  ): MutableSpan | undefined {
    // The end of what has not begun.
    if (kind === "step" && ends) return undefined;
    if (this.spans.length >= MAX_SPANS) {
      this.isCut = true;
      return undefined;
    }
    const span: MutableSpan = {
      ...{ kind, id, label, parent: this.#steps.at(-1) ?? null },
      ...{ from: index, to: index, startedAt: at, endedAt: at, durationMs: null },
      ...{ bytes: 0, preview: "", isOpen: kind !== "activity" },
    };
    const place = this.spans.push(span) - 1;
    this.#places.set(key, place);
    if (kind === "step") this.#steps.push(place);
    return span;
  }

  #partOf(type: string, event: Partial<EventLike>): Part | null {
    if (type === "STEP_STARTED" || type === "STEP_FINISHED") {
      const id = `${textOf(event.stepName) ?? ""}`;
      const ends = type === "STEP_FINISHED";
      return { kind: "step", id, label: id, text: undefined, ends };
    }
    if (type.startsWith("SUBAGENT_")) {
      const id = textOf(event.subagentRunId) ?? "";
      const label = textOf(event.agentName) ?? textOf(event.name) ?? "subagent";
      return { kind: "step", id, label, text: undefined, ends: type !== "SUBAGENT_STARTED" };
    }
    const ends = type.endsWith("_END") || type === "TOOL_CALL_RESULT";
    const own = (kind: SpanKind, given: unknown, label: unknown, text: unknown): Part => {
      const id = textOf(given) ?? this.#last.get(kind) ?? "";
      this.#last.set(kind, id);
      return { kind, id, label: textOf(label), text: textOf(text), ends };
    };
    if (type.startsWith("TEXT_MESSAGE_")) {
      return own("message", event.messageId, event.role ?? "assistant", event.delta);
    }
    if (type.startsWith("TOOL_CALL_")) {
      const result = textOf(event.content);
      const text = result === undefined ? event.delta : ` → ${result}`;
      return own("tool", event.toolCallId, event.toolCallName, text);
    }
    if (type.startsWith("REASONING_") || type.startsWith("THINKING_")) {
      return own("reasoning", event.messageId ?? event.entityId, "reasoning", event.delta);
    }
    if (type.startsWith("ACTIVITY_")) {
      return own("activity", event.messageId, event.activityType, undefined);
    }
    return null;
  }
}

/** Of the events that belong to no span, the others begin and end runs: they are in the span of the run. */
function isMark(type: string): boolean {
  return type !== "RUN_STARTED" && type !== "RUN_FINISHED" && type !== "RUN_ERROR";
}

/** From one time to another. Null where one is not known, or the clock was set back. */
export function durationOf(from: number | null, to: number | null): number | null {
  return from === null || to === null || to < from ? null : to - from;
}
