import { compactRun } from "../../src/events/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import type { FinishOp, OpResult } from "../../src/protocol/messages.ts";
import { holdsLease, INPUT_SEQ, LEASE_LOST, wasStored } from "./journal.ts";
import { indexMessages } from "./message-index.ts";
import { SCHEMA_VERSION } from "./schema.ts";
import { parseEvents } from "./segments.ts";
import type { WriterContext } from "./writer-context.ts";

export interface Journal {
  readonly events: readonly EventLike[];
  /** JSON of the RunAgentInput, or null when it was not journaled. */
  readonly input: string | null;
  /** False when a segment could not be read; `events` are those before it. */
  readonly complete: boolean;
}

/** What was journaled of a run, in order, up to the first segment that cannot be read. */
export function readJournal(context: WriterContext, runId: string): Journal {
  const events: EventLike[] = [];
  let input: string | null = null;
  for (const row of context.statements.journalOfRun.iterate(runId)) {
    if (row.seq === INPUT_SEQ) {
      input = row.events;
      continue;
    }
    const segment = parseEvents(row.events);
    if (segment === null) return { events, input, complete: false };
    for (const event of segment) events.push(event);
  }
  return { events, input, complete: true };
}

export interface RunToStore {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly agentId: string | null;
  readonly events: readonly EventLike[];
  readonly input: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
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

/** Stores one run, compacted, and gives its thread back. Returns a warning or undefined. */
export function storeRun(context: WriterContext, run: RunToStore): string | undefined {
  const { statements } = context;
  const hasDelta = run.events.some((event) => event.type === "STATE_DELTA");
  const compacted = compactRun(run.events, hasDelta ? { state: stateOfInput(run.input) } : {});
  const json = JSON.stringify(compacted);
  const parent = statements.lastRunOfThread.get(run.threadId) ?? null;
  const insertAs = (runId: string) =>
    statements.insertRun.run(
      run.threadId,
      runId,
      parent,
      json,
      run.input,
      run.finishedAt,
      SCHEMA_VERSION,
      run.agentId,
      run.epoch,
    ).changes;

  let warning: string | undefined;
  if (insertAs(run.runId) === 0) {
    // Someone outside wrote a row with this id after the claim had found it free.
    const otherId = `${run.runId}#${run.epoch}`;
    insertAs(otherId);
    warning = `run id ${JSON.stringify(run.runId)} was taken meanwhile; stored as ${JSON.stringify(otherId)}`;
  }
  indexMessages(statements, run.threadId, run.events);
  statements.countRun.run(run.threadId, run.agentId, run.finishedAt, run.finishedAt);
  statements.freeThread.run(run.finishedAt, run.threadId);
  return warning;
}

export function finish(context: WriterContext, op: FinishOp): OpResult {
  if (!holdsLease(context, op)) return wasStored(context, op) ? { ok: true } : LEASE_LOST;

  const tail = parseEvents(op.events) ?? [];
  const journal = op.journaled ? readJournal(context, op.runId) : null;
  const events = journal === null ? tail : [...journal.events, ...tail];
  const input = op.input ?? journal?.input ?? "{}";
  const warning = storeRun(context, { ...op, events, input });
  if (journal !== null) context.statements.deleteJournal.run(op.runId);
  if (journal?.complete === false) {
    return { ok: true, warning: `a journaled segment of run ${op.runId} could not be read` };
  }
  return warning === undefined ? { ok: true } : { ok: true, warning };
}
