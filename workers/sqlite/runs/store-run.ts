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
