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
 * Turns the runs of a thread, whatever was stored of them, into a stream that `verifyEvents` of
 * `@ag-ui/client` accepts, 0.0.59 and 1.0.0 alike. An event that is fine is emitted as it is, the
 * same object; one that cannot be made to fit is dropped. Nothing that came in is changed.
 *
 * Where a run is in the stream:
 *   pending     nothing of it was emitted                      -> active
 *   active      RUN_STARTED was emitted                        -> held (stored), over (live)
 *   held        its terminal event waits for the end of the run: version 1 stored the parts that
 *               were open at the terminal behind it            -> readmitting, over
 *   readmitting a part begins behind the terminal: it and all that follows go before the terminal
 *                                                              -> over
 *   over        its terminal event was emitted; what follows is dropped, but a RUN_STARTED begins
 *               another run                                    -> active
 */
export class ReplayRepair {
  readonly #threadId: string;
  readonly #emit: (event: EventLike) => void;
  readonly #parts = new OpenParts();
  readonly #tags = new SubagentTags();
  /** Subagents started in this run, open or not: their ids may not be used again. */
  readonly #subagents = new Set<string>();
  #phase: "pending" | "active" | "held" | "readmitting" | "over" = "pending";
  #live = false;
  #runId = "";
  /** The run id that the run was announced under. */
  #announcedId = "";
  #heldTerminal: EventLike = incompleteStream;
  #lastEmitted = "";

  constructor(threadId: string, emit: (event: EventLike) => void) {
    this.#threadId = threadId;
    this.#emit = emit;
  }

  /** The events that follow are of the run `runId`. Those of a live run never wait. */
  startRun(runId: string, options: { readonly live: boolean } = { live: false }): void {
    this.endRun();
    this.#runId = runId;
    this.#live = options.live;
  }

  /** Takes one event. Never throws, as a subscriber that does ends the process. */
  next(event: EventLike): void {
    try {
      this.#next(event);
    } catch {
      // Live events are the agent's own objects, with getters that may throw: such an event cannot
      // be made to fit. From the store, there are none.
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
   * Adds an event to the run that the last event was of, before its terminal event if that is held back.
   * If that run is over, or there was none, the event is dropped.
   */
  amend(event: EventLike): void {
    if (this.#phase === "active" || this.#hasHeld()) this.#admit(event);
  }

  /** No more events of this run: closes it if it is still open. */
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
      // A client takes an error after RUN_FINISHED and at the very start, not after another error.
      if (this.#lastEmitted === "RUN_ERROR") this.#ensureStarted();
    }
    this.#finish(runError);
  }

  /** Nearly all events come this way. */
  #continuePart(lifecycle: PartLifecycle, event: EventLike): void {
    // Nothing is open before a run is active or after it is over.
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
      // A second opener of what a reducer keeps nothing of says nothing new.
      if (closer === undefined) return;
      // A reducer takes name and metadata from each START, and goes on where the part was.
      this.#pass(closer);
    } else if (lifecycle.kind === "thinkingText" && !this.#parts.has(thinking, event)) {
      this.#pass({ type: "THINKING_START" });
    }
    this.#pass(event);
  }

  /** A step is closed by who started it; producers do tag its end with whoever is active then. */
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
