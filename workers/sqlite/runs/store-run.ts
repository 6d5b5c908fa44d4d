import { randomUUID } from "node:crypto";
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
 * Stores one run.
 *
 * `parent_run_id` stays NULL. A version 1 runner reads a thread along the chain of parents. It takes a run
 * without a parent for one of the thread's first runs, shows it in the order of time, and still shows it
 * after older runs were purged. Writing parents would change a page of their index with each run.
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
  // The client's id is taken, by an earlier run of this thread or another one: store under an alias.
  if (inserted.changes === 0) inserted = insertAs(`${runId}#${randomUUID()}`, runId);
  expectChange(inserted, "a run");
  const id = Number(inserted.lastInsertRowid);
  const { messages: inEvents, json } = events;
  messages.add(recent, { agentId, finishedAt, id, messages: inEvents, length: json.length });
}
