import { randomUUID } from "node:crypto";
import { compactRun } from "../../src/events/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { collectMessageIds } from "../../src/events/message-ids.ts";
import type { FinishOp, OpResult } from "../../src/protocol/messages.ts";
import { expectChange } from "./fault.ts";
import { hasNeighbours } from "./instances.ts";
import { answerWithoutLease, INPUT_SEQ, keepJournal, OK } from "./journal.ts";
import { parseEvents } from "./segments.ts";
import type { WriterContext } from "./writer-context.ts";

export interface Journal {
  readonly events: readonly EventLike[];
  /** JSON of the RunAgentInput, or null when it was not journaled. */
  readonly input: string | null;
  /** How many segments `events` come from. */
  readonly segments: number;
  /** The seq of the last of them. */
  readonly lastSeq: number;
}

/**
 * UTF-16 units of a journal that are stored as a run. A run becomes one string, which can hold twice
 * as many, and one value, of which SQLite takes a billion bytes.
 */
const MAX_JOURNAL_LENGTH = 256 * 1024 * 1024;

/**
 * What was journaled of a run, in order, up to the first segment that cannot be read, or that makes
 * it too long.
 */
export function readJournal(context: WriterContext, segmentIds: readonly number[]): Journal {
  const events: EventLike[] = [];
  let input: string | null = null;
  let segments = 0;
  let lastSeq = INPUT_SEQ;
  let length = 0;
  for (const row of context.statements.segments.iterate(JSON.stringify(segmentIds))) {
    if (row.seq === INPUT_SEQ) {
      input = row.events;
      continue;
    }
    length += row.events.length;
    const segment = length > MAX_JOURNAL_LENGTH ? null : parseEvents(row.events);
    if (segment === null) break;
    for (const event of segment) events.push(event);
    segments++;
    lastSeq = row.seq;
  }
  return { events, input, segments, lastSeq };
}

export interface RunToStore {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly agentId: string | null;
  readonly input: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/** The events of a run as they are to be stored, and the message ids among them. */
export interface CompactedEvents {
  readonly json: string;
  readonly messageIds: Iterable<string>;
}

function stateOfInput(input: string): unknown {
  try {
    const value: unknown = JSON.parse(input);
    return typeof value === "object" && value !== null && "state" in value
      ? value.state
      : undefined;
  } catch {
    return undefined;
  }
}

export function compactEvents(events: readonly EventLike[], input: string): CompactedEvents {
  const hasDelta = events.some((event) => event.type === "STATE_DELTA");
  const compacted = compactRun(events, hasDelta ? { state: stateOfInput(input) } : {});
  return { json: JSON.stringify(compacted), messageIds: collectMessageIds(events) };
}

/**
 * Stores one run.
 *
 * Its parent stays NULL: a version 1 runner, which reads a thread along the chain of parents, takes
 * it for one of the thread's first runs, shows it in its place in time, and goes on showing it when
 * older runs are purged. An index of parents would cost each run a page.
 */
export function storeRun(
  { statements, messages }: WriterContext,
  run: RunToStore,
  events: CompactedEvents,
): void {
  const { threadId, runId, epoch, input, agentId, finishedAt } = run;
  const recent = messages.recentOf(threadId, epoch);
  const insertAs = (id: string, clientId: string | null) =>
    statements.insertRun.run(
      ...[threadId, id, clientId, events.json, input, finishedAt, agentId, epoch],
    );

  let inserted = insertAs(runId, null);
  // The client's id has come before, on this thread or on another.
  if (inserted.changes === 0) inserted = insertAs(`${runId}#${randomUUID()}`, runId);
  expectChange(inserted, "a run");
  const id = Number(inserted.lastInsertRowid);
  const { messageIds, json } = events;
  messages.add(recent, { agentId, finishedAt, id, messageIds, length: json.length });
}

export function finish(context: WriterContext, op: FinishOp): OpResult {
  const { threadId, epoch, finishedAt } = op;
  // Freed first: that tells whether it was held, and is undone with the rest if storing fails.
  const { changes } = context.statements.freeThreadHeldBy.run(finishedAt, threadId, epoch);
  if (changes === 0) return answerWithoutLease(context, op);
  if (op.compactIds !== null) {
    const run = { ...op, input: op.input ?? "{}" };
    storeRun(context, run, { json: op.events, messageIds: op.compactIds });
    return OK;
  }
  const tail = parseEvents(op.events) ?? [];
  const segmentIds = op.segments > 0 ? context.journals.take(op) : [];
  const journal = op.segments > 0 ? readJournal(context, segmentIds) : null;
  const events = journal === null ? tail : [...journal.events, ...tail];
  const input = op.input ?? journal?.input ?? "{}";
  storeRun(context, { ...op, input }, compactEvents(events, input));
  if (journal !== null) {
    if (hasNeighbours(context)) keepJournal(context, op, segmentIds);
    else context.journals.bury(segmentIds);
  }
  const missing = op.segments - (journal?.segments ?? 0);
  if (missing <= 0) return OK;
  return {
    ok: true,
    warning: `the run was stored without ${missing} segments that its journal lacks`,
  };
}
