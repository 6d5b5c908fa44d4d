import type { EventLike } from "../../src/events/event.ts";
import type { ClaimOp, OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { isVisible } from "../../src/protocol/scope.ts";
import { answerUnheld, NO_THREAD_LIST, OK, type RunOp } from "../../src/runs/answers.ts";
import { belongsTo, decideClaim } from "../../src/runs/claim.ts";
import { isStoppable, type ThreadHolder } from "../../src/runs/holder.ts";
import { endInterrupted, OWNER_DIED, REST_UNSTORED } from "../../src/runs/interrupted.ts";
import { messagesSeen } from "../../src/runs/messages-seen.ts";
import { toStoredRun } from "../../src/runs/stored-run.ts";
import type { Thread } from "./memory-database.ts";

/** Null for a thread that is free. */
type Holder = ThreadHolder | null;

/**
 * Executes one operation of an instance. Any operation may come again, because its batch is sent again. None
 * fails alone, and none throws: they read only what this store has written.
 */
export function apply(op: WriterOp, thread: Thread, holder: Holder, instanceId: string): OpResult {
  const isOurs = holder?.ownerId === instanceId;
  if (op.kind === "claim") return claim(op, thread, holder, instanceId);
  if (op.kind === "stop") {
    const isSeen = isVisible(op.scope, thread.resourceId ?? null);
    const wanted = op.discard ? "discard" : "stop";
    const isNews = thread.stop !== wanted && thread.stop !== "discard";
    const stopped = isSeen && isNews && isStoppable(holder, op, instanceId);
    if (stopped) thread.stop = wanted;
    return { ok: true, stopped };
  }
  if (op.kind === "withdraw") {
    if (isOurs && holder.claimNumber === op.number) thread.free();
    return OK;
  }
  if (op.kind === "updateThread") return NO_THREAD_LIST;
  if (op.kind === "take") return { ok: true, taken: null };
  if (op.kind === "settle") return { ok: true, settled: false };
  if (!isOurs || thread.epoch !== op.epoch) {
    return answerUnheld(op, () => thread.storedRun(op.epoch) !== undefined);
  }
  write(op, thread);
  return OK;
}

function claim(op: ClaimOp, thread: Thread, holder: Holder, instanceId: string): OpResult {
  const { runId, resourceId, number: claimNumber } = op;
  if (!belongsTo(thread.resourceId, resourceId)) {
    return { ok: true, claim: null, refusal: "THREAD_NOT_FOUND", heldIn: null };
  }
  const decision = decideClaim({ instanceId, claimNumber, holder });
  if (decision.kind === "refuse") {
    return { ok: true, claim: null, refusal: "THREAD_ALREADY_RUNNING", heldIn: thread.epoch };
  }
  if (decision.kind === "recover") recover(op.threadId, thread, OWNER_DIED);
  if (decision.kind !== "repeat") {
    thread.epoch++;
    thread.resourceId = resourceId;
    thread.holder = { runId, ownerId: instanceId, claimNumber };
  }
  const known = messagesSeen(op, (id) => thread.digests.get(id));
  return { ok: true, claim: { epoch: thread.epoch, ...known, isFirst: thread.runs.length === 0 } };
}

/** An operation of the run that holds the thread. */
function write(op: RunOp, thread: Thread): void {
  const segments = thread.journals.get(op.epoch) ?? [];
  if (op.kind === "append") {
    thread.input = op.input ?? thread.input;
    // Batches keep their order: a segment comes behind the one before it, or comes again.
    segments[op.seq] = op.events;
    thread.journals.set(op.epoch, segments);
  } else if (op.kind === "finish") {
    thread.input = op.input ?? thread.input;
    const { runId, epoch, events, compactMessages } = op;
    if (compactMessages !== null) thread.store(runId, epoch, events, compactMessages);
    else storeWhole(thread, runId, epoch, [...segments, events]);
    thread.free(events);
  } else if (op.kind === "release") {
    thread.free(op.events);
  } else if (op.kind === "giveUp") {
    if (op.keep) recover(op.threadId, thread, REST_UNSTORED);
    else thread.free();
  }
}

/** Ends the run that holds the thread, and that nobody executes any more. */
export function recover(threadId: string, thread: Thread, end: typeof OWNER_DIED): void {
  const { epoch, holder } = thread;
  const segments = thread.journals.get(epoch) ?? [];
  const runId = holder?.runId ?? "";
  const ended = endInterrupted({ threadId, epoch, runId, events: eventsOf(segments) }, end);
  const lastEvents = ended === null ? [] : [JSON.stringify(ended.closing)];
  if (ended !== null) storeWhole(thread, runId, ended.epoch, [...segments, ...lastEvents]);
  thread.free(...lastEvents);
  // The owner may only have slept: its late writes are refused.
  thread.epoch++;
}

/** Stores a run, of which `segments` are all events. */
function storeWhole(thread: Thread, runId: string, epoch: number, segments: string[]): void {
  const { events, messages } = toStoredRun(eventsOf(segments), thread.input);
  thread.store(runId, epoch, JSON.stringify(events), messages);
}

function eventsOf(segments: readonly string[]): EventLike[] {
  return segments.flatMap((json) => JSON.parse(json) as EventLike[]);
}
