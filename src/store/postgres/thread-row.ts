import type { ValueState } from "../../protocol/compactor-messages.ts";
import type { ThreadHolder } from "../../runs/holder.ts";
import type { Unfinished } from "./statement.ts";
import type { ThreadColumns } from "./statements.ts";
import { fromStored, fromStoredOrNull } from "./stored-ids.ts";

/** The claim that holds a thread. */
export interface Claim {
  readonly runId: string;
  readonly ownerId: string;
  readonly claimNumber: number;
}

/** Whether the thread is unknown until what a host does with it is done. */
export function isHidden({ unfinished }: Pick<ThreadRow, "unfinished">): boolean {
  return unfinished === "removal" || unfinished === "fork";
}

/** Whether a run of the thread is stored or holds it, and it is not being removed or made. */
export function isKnown(row: ThreadRow | null | undefined): row is ThreadRow {
  return row != null && !isHidden(row) && (row.claim !== null || row.runs > 0);
}

/** Which write of a row it was. */
export interface RowVersion {
  /** A start of a server: see `SERVER` in statements.ts. */
  readonly server: number;
  /** The transaction that wrote the row. */
  readonly xmin: number;
}

/** A thread, as the transaction that has locked it changes it. */
export interface ThreadRow {
  readonly threadId: string;
  /** The epoch of the last claim. */
  epoch: number;
  /** Null when the thread is free. */
  claim: Claim | null;
  stop: number;
  /** Null for a thread of nobody, undefined for one that belongs to whoever claims it first. */
  resourceId: string | null | undefined;
  agentId: string | null;
  /** Stored runs. */
  runs: number;
  values: ValueState;
  readonly unfinished: Unfinished | null;
  /** When the row was made: a thread that was removed may come again. Null where it was not read. */
  readonly madeAt: string | null;
  /** Another one with each write of the row, whoever writes it. Null where it was not read. */
  version: RowVersion | null;
  isChanged: boolean;
}

export function threadRowOf(columns: ThreadColumns, server: number | null = null): ThreadRow {
  const { epoch, run_id: runId, owner_id: ownerId, claim_number: claimNumber } = columns;
  const { stop, runs, resource_id: resourceId, agent_id: agentId } = columns;
  const { unfinished } = columns;
  const isHeld = ownerId !== null && runId !== null && claimNumber !== null;
  const isOwned = isHeld || runs > 0 || isHidden({ unfinished });
  return {
    threadId: fromStored(columns.thread_id),
    epoch,
    claim: isHeld ? { runId: fromStored(runId), ownerId, claimNumber } : null,
    stop,
    resourceId: isOwned ? fromStoredOrNull(resourceId) : undefined,
    agentId: fromStoredOrNull(agentId),
    runs,
    values: { version: columns.values_version, lastLog: columns.last_log },
    unfinished,
    madeAt: columns.made_at ?? null,
    version: server === null ? null : { server, xmin: Number(columns.xmin) },
    isChanged: false,
  };
}

/** The holder of a thread as the rules of src/runs take it. Null for a thread without a row. */
export function holderOf(
  row: ThreadRow | null | undefined,
  isAlive: (instanceId: string) => boolean,
): ThreadHolder | null {
  if (row?.claim == null) return null;
  return { ...row.claim, epoch: row.epoch, isAlive: isAlive(row.claim.ownerId) };
}
