import type { StoredThread, ThreadFacts } from "../../../src/protocol/thread-messages.ts";
import type { ForkOrigin, ThreadMetadata } from "../../../src/protocol/threads.ts";
import { liveRunOf } from "../../../src/runs/holder.ts";
import { parseFacts } from "../../../src/runs/thread-facts.ts";
import { holderOf, type OwnershipContext } from "../instances/ownership.ts";
import type { OwnerStatements } from "../instances/statements.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { ThreadRow, ThreadStatements } from "./statements.ts";
import { addRow, summaryOfRow } from "./thread-facts.ts";

/** Runs behind the facts of a thread that are read for its summary. */
const MAX_BEHIND = 32;

export interface SummaryContext extends OwnershipContext {
  readonly statements: ThreadStatements & Pick<OwnerStatements, "stateOfThread">;
  readonly config: OwnershipContext["config"] & { readonly instanceId: string };
}

/** A thread, or null if it is unknown: no run of it is stored, and none holds it. */
export function summaryOfThread(
  context: SummaryContext,
  values: ValueReader,
  threadId: string,
): StoredThread | null {
  const { statements } = context;
  const row = statements.thread.get(threadId);
  if (row === undefined) return null;
  const state = statements.stateOfThread.get(threadId);
  const live = liveRunOf(holderOf(context, state), context.config.instanceId);
  const { title, ...facts } = factsNow(statements, values, row);
  if (facts.runs === 0 && live === null) return null;
  const { lastRun } = facts;
  const updatedAt = Math.max(row.updated_at, row.state_at ?? 0, lastRun?.endedAt ?? 0);
  return {
    id: row.thread_id,
    title: row.title ?? title,
    isTitled: row.title !== null,
    agentId: lastRun?.agentId ?? row.agent_id,
    resourceId: row.resource_id,
    metadata: row.metadata === null ? {} : (JSON.parse(row.metadata) as ThreadMetadata),
    archived: row.archived === 1,
    createdAt: row.created_at,
    updatedAt,
    ...facts,
    live,
    forkedFrom: row.forked_from === null ? null : (JSON.parse(row.forked_from) as ForkOrigin),
  };
}

/**
 * The facts of a thread, with the runs that were stored since they were made. Of many such runs, which there
 * are before the file is indexed, only the first are read.
 */
function factsNow(statements: ThreadStatements, values: ValueReader, row: ThreadRow): ThreadFacts {
  let facts = parseFacts(row.facts);
  const behind = statements.runsBehindFacts.all(row.thread_id, row.up_to, MAX_BEHIND + 1);
  for (const run of behind.slice(0, MAX_BEHIND)) ({ facts } = addRow(facts, run, values));
  const isExact = behind.length <= MAX_BEHIND && row.stale === 0;
  if (isExact) return facts;
  const last = statements.lastRun.get(row.thread_id);
  const runs = statements.countRuns.get(row.thread_id) ?? 0;
  return { ...facts, runs, lastRun: last === undefined ? null : summaryOfRow(last) };
}
