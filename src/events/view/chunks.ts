import { type EventLike, stringField } from "../event.ts";
import { attributionOf, isFields } from "./message.ts";

type Kind = "text" | "toolCall" | "reasoning";

/** A subagent, or undefined for the parent agent. */
type Owner = string | undefined;

/** What the chunks of an owner are filling: a message or a tool call of this id. */
export interface OpenChunks {
  readonly owner?: Owner;
  readonly kind: Kind;
  readonly id: string;
}

const kinds = new Map<string, Kind>([
  ["TEXT_MESSAGE_CHUNK", "text"],
  ["TOOL_CALL_CHUNK", "toolCall"],
  ["REASONING_MESSAGE_CHUNK", "reasoning"],
]);

/** Events that end what chunks of the same agent are filling. */
const endOwn = new Set(
  [
    "TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END TOOL_CALL_START TOOL_CALL_ARGS",
    "TOOL_CALL_END TOOL_CALL_RESULT STATE_SNAPSHOT STATE_DELTA CUSTOM STEP_STARTED STEP_FINISHED",
    "THINKING_START THINKING_END THINKING_TEXT_MESSAGE_START THINKING_TEXT_MESSAGE_CONTENT",
    "THINKING_TEXT_MESSAGE_END REASONING_START REASONING_MESSAGE_START REASONING_END",
    "REASONING_MESSAGE_CONTENT REASONING_MESSAGE_END",
  ].flatMap((types) => types.split(" ")),
);

/** Events that end what any chunks are filling. */
const endAll = new Set(["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "MESSAGES_SNAPSHOT"]);

/** Turns chunks into the events that they stand for. A chunk may name its message only at first. */
export class ChunkExpander {
  readonly #open: Map<Owner, OpenChunks>;

  constructor(open: readonly OpenChunks[]) {
    this.#open = new Map(open.map((chunks) => [chunks.owner, chunks]));
  }

  get open(): OpenChunks[] {
    return [...this.#open.values()];
  }

  /** The events that `event` stands for: itself, if it is no chunk. */
  expand(event: EventLike): readonly EventLike[] {
    const kind = kinds.get(event.type);
    if (kind !== undefined) return this.#expandChunk(kind, event);
    if (this.#open.size > 0) this.#end(event);
    return [event];
  }

  #end({ type, subagentRunId }: EventLike): void {
    const owner = typeof subagentRunId === "string" ? subagentRunId : undefined;
    if (endAll.has(type)) this.#open.clear();
    else if (endOwn.has(type)) this.#open.delete(owner);
    else if (type === "SUBAGENT_FINISHED" || type === "SUBAGENT_ERROR") {
      if (owner !== undefined) this.#open.delete(owner);
    }
  }

  #expandChunk(kind: Kind, chunk: EventLike): EventLike[] {
    const field = kind === "toolCall" ? "toolCallId" : "messageId";
    const id = stringField(chunk, field);
    if (id === undefined && chunk[field] !== undefined) return [];
    const hasDelta = chunk.delta !== undefined;
    if (hasDelta && typeof chunk.delta !== "string") return [];
    const found = this.#findOwner(kind, id, stringField(chunk, "subagentRunId"));
    if (found === undefined) return [];
    const open = this.#open.get(found.owner);
    const metadata = isFields(chunk.metadata) ? { metadata: chunk.metadata } : {};
    if (open?.kind === kind && (id === undefined || id === open.id)) {
      if (!hasDelta && chunk.metadata === undefined) return [];
      return [{ ...contentOf(open, chunk.delta ?? ""), ...metadata }];
    }
    if (id === undefined) return [];
    if (kind === "toolCall" && typeof chunk.toolCallName !== "string") return [];
    const next = { owner: found.owner, kind, id };
    this.#open.set(found.owner, next);
    const start = { ...startOf(next, chunk), ...attributionOf(chunk), ...metadata };
    return hasDelta ? [start, { ...contentOf(next, chunk.delta), ...metadata }] : [start];
  }

  /** Whose chunk it is, or undefined if that cannot be told: a client fails on such a chunk. */
  #findOwner(kind: Kind, id: string | undefined, tag: Owner): { owner: Owner } | undefined {
    const open = this.open.filter((chunks) => chunks.kind === kind);
    if (id !== undefined) {
      const holder = open.find((chunks) => chunks.id === id);
      if (holder === undefined) return { owner: tag };
      return tag === undefined || tag === holder.owner ? { owner: holder.owner } : undefined;
    }
    if (tag !== undefined || this.#open.get(undefined)?.kind === kind) return { owner: tag };
    const [only, ...others] = open;
    return only !== undefined && others.length === 0 ? { owner: only.owner } : undefined;
  }
}

function startOf({ kind, id }: OpenChunks, chunk: EventLike): EventLike {
  if (kind === "reasoning") return { type: "REASONING_MESSAGE_START", messageId: id };
  if (kind === "text") {
    const { role, name } = chunk;
    return { type: "TEXT_MESSAGE_START", messageId: id, role: role || "assistant", name };
  }
  const { toolCallName, parentMessageId } = chunk;
  return { type: "TOOL_CALL_START", toolCallId: id, toolCallName, parentMessageId };
}

function contentOf({ kind, id }: OpenChunks, delta: unknown): EventLike {
  if (kind === "toolCall") return { type: "TOOL_CALL_ARGS", toolCallId: id, delta };
  const type = kind === "text" ? "TEXT_MESSAGE_CONTENT" : "REASONING_MESSAGE_CONTENT";
  return { type, messageId: id, delta };
}

export function isOpenChunks(value: unknown): value is OpenChunks {
  if (!isFields(value) || typeof value.id !== "string") return false;
  if (value.owner !== undefined && typeof value.owner !== "string") return false;
  return [...kinds.values()].some((kind) => kind === value.kind);
}
