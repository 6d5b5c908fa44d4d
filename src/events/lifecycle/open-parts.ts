import { type EventLike, NO_TERMINAL, stringField } from "../event.ts";
import { lifecycleOf, type PartKind, type PartLifecycle, partId } from "./part-lifecycle.ts";

const STOPPED = "Run stopped by user";

export interface CloseOptions {
  /** "stopped": the run was told to stop. "failed": the run ended before its parts did. */
  readonly outcome: "stopped" | "failed";
  /** The message in SUBAGENT_ERROR, and in the results of tool calls that had no result. */
  readonly message?: string | undefined;
  /** Whether tool calls that ended without a result get a result too. Open tool calls always do. */
  readonly pendingResults: boolean;
}

/** The options for parts that are open when the agent emits a terminal event. */
export const unfinished: CloseOptions = {
  outcome: "failed",
  message: "Run ended before this tool call was complete",
  pendingResults: false,
};

type IdKind = Exclude<PartKind, "toolCall" | "step">;

const NONE: ReadonlySet<string> = new Set();

interface ToolCall {
  ended: boolean;
  hasResult: boolean;
}

/** The open parts of one run: a terminal event may leave none of them open. */
export class OpenParts {
  // Each collection is made when it is first needed: most runs open few kinds of parts.

  /** The open parts of each kind that has plain ids, in the order in which they were opened. */
  #byId: Partial<Record<IdKind, Set<string>>> = {};
  /** Open tool calls, and ended tool calls that have no result yet. */
  #toolCalls: Map<string, ToolCall> | null = null;
  /**
   * Step names by `subagentRunId`, undefined for the parent agent. Not one joined key: the parent agent
   * differs from a subagent "", and both may have a step of the same name open.
   */
  #steps: Map<string | undefined, Set<string>> | null = null;
  #ended = false;

  /** True after a terminal event, until the next RUN_STARTED. */
  get ended(): boolean {
    return this.#ended;
  }

  /** True if a part is open: RUN_FINISHED may not follow yet. */
  get any(): boolean {
    for (const ids of Object.values(this.#byId)) if (ids.size > 0) return true;
    for (const names of this.#steps?.values() ?? []) if (names.size > 0) return true;
    for (const call of this.#toolCalls?.values() ?? []) if (!call.ended) return true;
    return false;
  }

  observe(event: EventLike): void {
    const lifecycle = lifecycleOf(event.type);
    if (lifecycle !== undefined) {
      if (lifecycle.phase !== "content" && !this.#ended) this.#track(lifecycle, event);
      return;
    }
    switch (event.type) {
      case "TOOL_CALL_RESULT": {
        const id = stringField(event, "toolCallId");
        const call = id === undefined ? undefined : this.#toolCalls?.get(id);
        if (id === undefined || call === undefined) return;
        call.hasResult = true;
        if (call.ended) this.#toolCalls?.delete(id);
        return;
      }
      case "RUN_STARTED":
        this.#ended = false;
        return;
      case "RUN_FINISHED":
      case "RUN_ERROR":
        this.#ended = true;
        this.#forget();
    }
  }

  /** True if the part that `event` names is open. */
  has(lifecycle: PartLifecycle, event: EventLike): boolean {
    const id = partId(lifecycle, event);
    if (id === undefined) return false;
    if (lifecycle.kind === "step") {
      return this.#steps?.get(stringField(event, "subagentRunId"))?.has(id) ?? false;
    }
    if (lifecycle.kind === "toolCall") return this.#toolCalls?.get(id)?.ended === false;
    return this.#byId[lifecycle.kind]?.has(id) ?? false;
  }

  /** An agent that has a step of this name open. `tag` is undefined for the parent agent. */
  findStep(stepName: string): { tag: string | undefined } | undefined {
    for (const [tag, names] of this.#steps ?? []) if (names.has(stepName)) return { tag };
    return undefined;
  }

  /** Closes all open parts, and returns the events that do so, in a valid order. */
  close(options: CloseOptions): EventLike[] {
    const closers: EventLike[] = [];
    for (const messageId of this.#idsOf("text")) {
      closers.push({ type: "TEXT_MESSAGE_END", messageId });
    }
    this.#closeToolCalls(options, closers);
    this.#closeReasoning(closers);
    // Innermost first: steps and subagents nest.
    for (const [subagentRunId, names] of [...(this.#steps ?? [])].reverse()) {
      const tag = subagentRunId === undefined ? undefined : { subagentRunId };
      for (const stepName of [...names].reverse()) {
        closers.push({ type: "STEP_FINISHED", stepName, ...tag });
      }
    }
    for (const subagentRunId of [...this.#idsOf("subagent")].reverse()) {
      closers.push(
        options.outcome === "stopped"
          ? { type: "SUBAGENT_FINISHED", subagentRunId }
          : { type: "SUBAGENT_ERROR", subagentRunId, message: options.message || NO_TERMINAL },
      );
    }
    this.#byId = {};
    this.#steps = null;
    return closers;
  }

  #track(lifecycle: PartLifecycle, event: EventLike): void {
    const id = partId(lifecycle, event);
    if (id === undefined) return;
    const opens = lifecycle.phase === "start";
    switch (lifecycle.kind) {
      case "toolCall":
        this.#trackToolCall(id, opens);
        break;
      case "step": {
        const tag = stringField(event, "subagentRunId");
        const names = this.#steps?.get(tag);
        if (!opens) names?.delete(id);
        else if (names !== undefined) names.add(id);
        else {
          this.#steps ??= new Map();
          this.#steps.set(tag, new Set([id]));
        }
        break;
      }
      default: {
        const ids = this.#byId[lifecycle.kind];
        if (!opens) ids?.delete(id);
        else if (ids !== undefined) ids.add(id);
        else this.#byId[lifecycle.kind] = new Set([id]);
      }
    }
  }

  #trackToolCall(id: string, opens: boolean): void {
    this.#toolCalls ??= new Map();
    const calls = this.#toolCalls;
    const call = calls.get(id);
    if (call === undefined) {
      if (opens) calls.set(id, { ended: false, hasResult: false });
    } else if (opens) {
      call.ended = false;
    } else {
      call.ended = true;
      if (call.hasResult) calls.delete(id);
    }
  }

  #closeToolCalls(options: CloseOptions, closers: EventLike[]): void {
    let content: string | undefined;
    for (const [toolCallId, call] of this.#toolCalls ?? []) {
      if (call.ended && !options.pendingResults) continue;
      if (!call.ended) closers.push({ type: "TOOL_CALL_END", toolCallId });
      this.#toolCalls?.delete(toolCallId);
      if (call.hasResult) continue;
      content ??= resultContent(options);
      closers.push({
        type: "TOOL_CALL_RESULT",
        toolCallId,
        messageId: `${toolCallId}-result`,
        role: "tool",
        content,
      });
    }
  }

  #closeReasoning(closers: EventLike[]): void {
    for (const messageId of this.#idsOf("reasoning")) {
      closers.push({ type: "REASONING_MESSAGE_END", messageId });
    }
    for (const messageId of this.#idsOf("reasoningSpan")) {
      closers.push({ type: "REASONING_END", messageId });
    }
    if (this.#idsOf("thinkingText").size > 0) closers.push({ type: "THINKING_TEXT_MESSAGE_END" });
    if (this.#idsOf("thinking").size > 0) closers.push({ type: "THINKING_END" });
  }

  #idsOf(kind: IdKind): ReadonlySet<string> {
    return this.#byId[kind] ?? NONE;
  }

  #forget(): void {
    this.#byId = {};
    this.#toolCalls = null;
    this.#steps = null;
  }
}

/** The same JSON as from `finalizeRunEvents` of `@copilotkit/shared`: front ends parse it. */
function resultContent(options: CloseOptions): string {
  if (options.outcome === "stopped") {
    const message = options.message ?? STOPPED;
    return JSON.stringify({ status: "stopped", reason: "stop_requested", message });
  }
  // Callers may pass the stop message for any outcome, but a failed run was not stopped.
  const own = options.message === STOPPED ? undefined : options.message;
  const message = own || NO_TERMINAL;
  return JSON.stringify({ status: "error", reason: "missing_terminal_event", message });
}
