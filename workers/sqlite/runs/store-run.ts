import { randomUUID } from "node:crypto";
import {
  lengthOfValues,
  type TakenOut,
  takeOutOfInput,
} from "../../../src/events/shared/take-out.ts";
import { expectChange } from "../database/fault.ts";
import type { CompactedEvents } from "./read-journal.ts";
import type { WriterContext } from "./writer-context.ts";

export interface RunToStore {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly agentId: string | null;
  readonly input: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/**
 * Stores one run. Returns the id of its row.
 *
 * `parent_run_id` stays NULL. A version 1 runner reads a thread along the chain of parents. It treats a
 * run without a parent as a first run of the thread, shows such runs in the order of time, and still
 * shows them after older runs were purged. A written parent would change a page of its index with each
 * run.
 */
export function storeRun(context: WriterContext, run: RunToStore, events: CompactedEvents): number {
  const { messages, touches } = context;
  const { threadId, epoch, agentId, finishedAt } = run;
  const recent = messages.recentOf(threadId, epoch);
  const { messages: inEvents, taken } = events;
  const id = insertRun(context, run, { events: taken, input: takeOutOfInput(run.input) });
  touches.note(threadId, finishedAt, agentId);
  messages.add(recent, { id, messages: inEvents, length: lengthOf(taken) });
  return id;
}

/** Inserts the row of a run, and the values that were taken out of it. Returns the id of the row. */
export function insertRun(
  { statements, values }: Pick<WriterContext, "statements" | "values">,
  run: Omit<RunToStore, "input">,
  { events, input }: { readonly events: TakenOut; readonly input: TakenOut },
): number {
  const { threadId, runId, epoch, agentId, finishedAt } = run;
  return values.store(threadId, { events, input }, (places) => {
    const insertAs = (storedId: string, clientId: string | null) =>
      statements.insertRun.run(
        ...[threadId, storedId, clientId, events.rest, input.rest, finishedAt, agentId],
        ...[places.shared_events, places.shared_input, epoch],
      );
    let inserted = insertAs(runId, null);
    // An earlier run, of this thread or of another, has the client's id: store the run under an alias.
    if (inserted.changes === 0) inserted = insertAs(`${runId}#${randomUUID()}`, runId);
    expectChange(inserted, "a run");
    return Number(inserted.lastInsertRowid);
  });
}

/** UTF-16 units of the JSON that the values were taken out of. */
function lengthOf({ rest, values }: TakenOut): number {
  return rest.length + lengthOfValues(values);
}
