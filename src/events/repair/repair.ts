import { type EventLike, isTerminal, stringField } from "../event.ts";
import { incompleteStream } from "../lifecycle/finalize.ts";
import { OpenParts, unfinished } from "../lifecycle/open-parts.ts";
import { lifecycleOf, type PartLifecycle, partId } from "../lifecycle/part-lifecycle.ts";
import {
  cleanMessages,
  cleanRunFinished,
  cleanRunStarted,
  cleanSubagent,
  withoutBadTag,
  withoutField,
} from "./repair-fields.ts";
import { SubagentTags } from "./subagent-tags.ts";

/**
 * Turns the runs of a thread, however they were stored, into a stream that `verifyEvents` of
 * `@ag-ui/client` accepts, in versions 0.0.59 and 1.0.0. A valid event is emitted as the same object. An
 * event that cannot be repaired is dropped. An input event is never changed.
 *
 * The phases of a run in the stream:
 *   pending     no event of the run was emitted                -> active
 *   active      RUN_STARTED was emitted                        -> held (stored), over (live)
 *   held        the terminal event waits for the end of the run. Version 1 stored the parts that
 *               were open at the terminal event after it       -> readmitting, over
 *   readmitting a part has begun after the terminal event. This part and all later events are
 *               emitted before the terminal event              -> over
 *   over        the terminal event was emitted. Later events are dropped, except a RUN_STARTED,
 *               which begins another run                       -> active
 */
export class ReplayRepair {
  readonly #threadId: string;
  readonly #emit: (event: EventLike) => void;
  readonly #parts = new OpenParts();
  readonly #tags = new SubagentTags();
  /** The ids of all subagents started in this run, ended or not. An id may not be used twice. */
  readonly #subagents = new Set<string>();
  #phase: "pending" | "active" | "held" | "readmitting" | "over" = "pending";
  #live = false;
  #runId = "";
  /** The run id in the emitted RUN_STARTED. */
  #announcedId = "";
  #heldTerminal: EventLike = incompleteStream;
  #lastEmitted = "";

  constructor(threadId: string, emit: (event: EventLike) => void) {
    this.#threadId = threadId;
    this.#emit = emit;
  }

  /** Begins the run `runId`: the next events belong to it. Events of a live run are never held back. */
  startRun(runId: string, options: { readonly live: boolean } = { live: false }): void {
    this.endRun();
    this.#runId = runId;
    this.#live = options.live;
  }

  /** Takes one event. Never throws: an error in a subscriber would end the process. */
  next(event: EventLike): void {
    try {
      this.#next(event);
    } catch {
      // A live event is an object of the agent, and its getters may throw. Such an event is dropped. A
      // stored event has no getters.
    }
  }

  #next(event: EventLike): void {
    if (typeof event !== "object" || event === null || typeof event.type !== "string") return;
    const lifecycle = lifecycleOf(event.type);
    if (lifecycle?.phase === "content") {
      this.#continuePart(lifecycle, event);
    } else if (lifecycle === undefined && event.type === "RUN_STARTED") {
      this.#start(event);
    } else if (lifecycle === undefined && isTerminal(event)) {
      this.#terminate(event);
    } else if (this.#takes(lifecycle)) {
      const tagged = lifecycle?.kind === "subagent" ? event : withoutBadTag(event);
      if (lifecycle === undefined) this.#admit(tagged);
      else if (partId(lifecycle, tagged) !== undefined) this.#admitPart(lifecycle, tagged);
    }
  }

  /**
   * Adds an event to the current run, before its terminal event if that is held back. A run of which no
   * event was emitted begins with it. Drops the event if that run is over.
   */
  amend(event: EventLike): void {
    if (this.#phase !== "over") this.#admit(event);
  }

  /** Ends the run: closes it if it is still open. */
  endRun(): void {
    if (this.#phase === "active") this.#finish(incompleteStream);
    else if (this.#hasHeld()) this.#finish(this.#heldTerminal);
    this.#phase = "pending";
  }

  /** Ends the whole stream with an error that the client sees. */
  fail(error: { readonly code: string; readonly message: string }): void {
    const runError = { type: "RUN_ERROR", message: error.message, code: error.code };
    if (this.#phase !== "active") {
      this.endRun();
      // A client accepts RUN_ERROR after RUN_FINISHED and as the first event, but not after RUN_ERROR.
      if (this.#lastEmitted === "RUN_ERROR") this.#ensureStarted();
    }
    this.#finish(runError);
  }

  /** Handles content, which nearly all events are: kept short for that reason. */
  #continuePart(lifecycle: PartLifecycle, event: EventLike): void {
    // No part is open before a run is active or after it is over, so `has` covers those phases.
    if (this.#phase === "held" || !this.#parts.has(lifecycle, event)) return;
    if (typeof event.delta !== "string") return;
    const tagged = event.subagentRunId !== undefined;
    this.#out(tagged ? this.#tags.settle(withoutBadTag(event)) : event);
  }

  #takes(lifecycle: PartLifecycle | undefined): boolean {
    if (this.#phase === "over") return false;
    if (this.#phase === "held") {
      if (lifecycle?.phase !== "start") return false;
      this.#phase = "readmitting";
    }
    return true;
  }

  #start(event: EventLike): void {
    if (this.#phase === "active" || this.#hasHeld()) this.endRun();
    let started = cleanRunStarted(withoutBadTag(event));
    started = this.#stamp(started, this.#runId);
    this.#announcedId = started.runId as string;
    this.#phase = "active";
    this.#parts.observe(started);
    const messages = (started.input as { messages?: unknown } | null | undefined)?.messages;
    if (Array.isArray(messages)) this.#tags.seed(messages as unknown[], false);
    this.#out(started);
  }

  #terminate(event: EventLike): void {
    if (this.#phase === "over" || this.#hasHeld()) return;
    this.#ensureStarted();
    const clean = withoutBadTag(event);
    let terminal: EventLike;
    if (clean.type === "RUN_FINISHED") {
      terminal = this.#stamp(cleanRunFinished(clean), this.#announcedId);
    } else {
      terminal = typeof clean.message === "string" ? clean : { ...clean, message: "Run failed" };
    }
    if (this.#live) {
      this.#finish(terminal);
    } else {
      this.#heldTerminal = terminal;
      this.#phase = "held";
    }
  }

  #admit(event: EventLike): void {
    switch (event.type) {
      case "MESSAGES_SNAPSHOT": {
        const messages = cleanMessages(event.messages);
        if (messages === null) return;
        this.#tags.seed(messages, true);
        this.#pass(messages === event.messages ? event : { ...event, messages });
        return;
      }
      case "TOOL_CALL_RESULT": {
        const toolCallId = stringField(event, "toolCallId");
        if (toolCallId === undefined) return;
        const named = typeof event.messageId === "string";
        this.#pass(named ? event : { ...event, messageId: `${toolCallId}-result` });
        return;
      }
      case "ACTIVITY_SNAPSHOT":
      case "ACTIVITY_DELTA":
        if (typeof event.messageId === "string") this.#pass(event);
        return;
      case "REASONING_ENCRYPTED_VALUE":
        if (typeof event.entityId === "string") this.#pass(event);
        return;
      default:
        this.#pass(event);
    }
  }

  #admitPart(lifecycle: PartLifecycle, event: EventLike): void {
    const open = this.#parts.has(lifecycle, event);
    if (lifecycle.kind === "subagent") {
      this.#admitSubagent(lifecycle, event, open);
    } else if (lifecycle.phase === "start") {
      this.#admitOpener(lifecycle, event, open);
    } else if (open) {
      this.#pass(event);
    } else if (lifecycle.kind === "step") {
      this.#admitMistaggedStepEnd(event);
    }
  }

  #admitOpener(lifecycle: PartLifecycle, event: EventLike, open: boolean): void {
    if (open) {
      const closer = closerFor(lifecycle, event);
      // A reducer keeps nothing of this kind of part: a second START adds nothing.
      if (closer === undefined) return;
      // A reducer takes name and metadata from each START, and continues the same part.
      this.#pass(closer);
    } else if (lifecycle.kind === "thinkingText" && !this.#parts.has(thinking, event)) {
      this.#pass({ type: "THINKING_START" });
    }
    this.#pass(event);
  }

  /** Gives the end of a step the tag of its start: some producers tag the end with another subagent. */
  #admitMistaggedStepEnd(event: EventLike): void {
    const found = this.#parts.findStep(event.stepName as string);
    if (found === undefined) return;
    const untagged = withoutField(event, "subagentRunId");
    this.#pass(found.tag === undefined ? untagged : { ...event, subagentRunId: found.tag });
  }

  #admitSubagent(lifecycle: PartLifecycle, event: EventLike, open: boolean): void {
    const clean = cleanSubagent(event);
    if (lifecycle.phase === "end") {
      if (!open) return;
      const lacksMessage = clean.type === "SUBAGENT_ERROR" && typeof clean.message !== "string";
      this.#pass(lacksMessage ? { ...clean, message: "Subagent failed" } : clean);
      return;
    }
    const id = clean.subagentRunId as string;
    if (this.#subagents.has(id) || typeof clean.name !== "string") return;
    const parent = stringField(clean, "parentSubagentRunId");
    const orphan = parent !== undefined && !this.#subagents.has(parent);
    this.#subagents.add(id);
    this.#pass(orphan ? withoutField(clean, "parentSubagentRunId") : clean);
  }

  #pass(event: EventLike): void {
    const settled = this.#tags.settle(event);
    this.#ensureStarted();
    this.#parts.observe(settled);
    this.#out(settled);
  }

  #finish(terminal: EventLike): void {
    for (const closer of this.#parts.close(unfinished)) this.#out(closer);
    this.#parts.observe(terminal);
    this.#tags.clear();
    this.#subagents.clear();
    this.#phase = "over";
    this.#out(terminal);
  }

  #ensureStarted(): void {
    if (this.#phase === "pending") this.#start({ type: "RUN_STARTED" });
  }

  #hasHeld(): boolean {
    return this.#phase === "held" || this.#phase === "readmitting";
  }

  #stamp(event: EventLike, runId: string): EventLike {
    if (typeof event.threadId === "string" && typeof event.runId === "string") return event;
    return {
      ...event,
      threadId: stringField(event, "threadId") ?? this.#threadId,
      runId: stringField(event, "runId") ?? runId,
    };
  }

  #out(event: EventLike): void {
    this.#lastEmitted = event.type;
    this.#emit(event);
  }
}

const thinking: PartLifecycle = { kind: "thinking", phase: "start" };

function closerFor(lifecycle: PartLifecycle, opener: EventLike): EventLike | undefined {
  switch (lifecycle.kind) {
    case "text":
      return { type: "TEXT_MESSAGE_END", messageId: opener.messageId };
    case "toolCall":
      return { type: "TOOL_CALL_END", toolCallId: opener.toolCallId };
    case "reasoning":
      return { type: "REASONING_MESSAGE_END", messageId: opener.messageId };
    default:
      return undefined;
  }
}
