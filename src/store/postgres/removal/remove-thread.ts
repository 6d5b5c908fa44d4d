import { RunStoreError } from "../../../protocol/errors.ts";
import type { DeleteThreadRequest } from "../../../protocol/messages.ts";
import { isVisible } from "../../../protocol/scope.ts";
import type { PurgeResult } from "../../../protocol/threads.ts";
import type { Compactor } from "../compactor.ts";
import type { Send } from "../connection.ts";
import type { Statements, ThreadColumns } from "../statements.ts";
import { toStored } from "../stored-ids.ts";
import { isKnown, type ThreadRow, threadRowOf } from "../thread-row.ts";
import type { Slices } from "./slices.ts";

/** Rows that one transaction deletes at most. */
export const ROWS = 50;

/** PostgreSQL's largest int8 that JavaScript holds exactly: stands for all epochs. */
const LAST_EPOCH = Number.MAX_SAFE_INTEGER;

export interface RemovalContext {
  readonly statements: Statements;
  readonly slices: Slices;
  readonly compactor: Compactor;
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
  /** Reads the hosts again when one of these would count as dead: it may have come, or come back. */
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
  /** A thread was made unknown or known: others may wait for that. */
  readonly onChanged: () => void;
  /** The facts of a thread are to be made again. */
  readonly onRunsChanged: (threadId: string) => void;
}

export interface LockedThread extends ThreadRow {
  /** The host that works on it, if `unfinished`. */
  readonly unfinishedBy: string | null;
  /** When its row was written last, in milliseconds since the epoch, by the clock of the server. */
  readonly updatedAt: number;
}

/** What was removed. */
export type Counts = { -readonly [Name in keyof PurgeResult]: PurgeResult[Name] };

export function threadNotFound(): RunStoreError {
  return new RunStoreError("THREAD_NOT_FOUND", "there is no such thread");
}

/** Locks the row of a thread for the transaction. Null if there is none. */
export async function lockThread(
  { statements }: RemovalContext,
  send: Send,
  threadId: string,
): Promise<LockedThread | null> {
  const { rows } = await send(statements.lockThread, [toStored(threadId)]);
  type Row = ThreadColumns & { readonly updated_ms: number; readonly unfinished_by: string | null };
  const [columns] = rows as Row[];
  if (columns === undefined) return null;
  const { updated_ms: updatedAt, unfinished_by: unfinishedBy } = columns;
  return { ...threadRowOf(columns), updatedAt, unfinishedBy };
}

/**
 * Begins the removal of a thread, in the transaction that has locked its row: from here on it is unknown, and
 * no run gets it until it is gone. A removal that has begun before is not begun again.
 *
 * @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`
 */
export async function beginRemoval(
  context: RemovalContext,
  send: Send,
  row: ThreadRow | null,
  request: DeleteThreadRequest,
): Promise<void> {
  const isSeen = row !== null && isVisible(request.scope, row.resourceId ?? null);
  if (isSeen && row.unfinished === "removal") return;
  if (!isSeen || !isKnown(row)) throw threadNotFound();
  if (await isRunning(context, row, request)) {
    throw new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
  }
  await markRemoved(context, send, row.threadId);
}

/** Whether a live run holds the thread. */
export async function isRunning(
  { instanceId, isAlive, expectKnown }: RemovalContext,
  { claim }: ThreadRow,
  { endedClaims }: Pick<DeleteThreadRequest, "endedClaims">,
): Promise<boolean> {
  if (claim === null) return false;
  if (claim.ownerId === instanceId) return claim.claimNumber > endedClaims;
  await expectKnown([claim.ownerId]);
  return isAlive(claim.ownerId);
}

/**
 * Takes from a thread all by which it is found and written to. Its runs, messages and values are deleted later:
 * see `continueRemoval`. Journals of its ended runs are deleted in their time, like all journals: clients may
 * follow them to the end.
 */
export async function markRemoved(
  { statements, instanceId }: RemovalContext,
  send: Send,
  threadId: string,
): Promise<void> {
  const id = toStored(threadId);
  const { markRemoved: mark, deleteDerived } = statements;
  await Promise.all([
    send(mark, [id, instanceId]),
    ...deleteDerived.map((statement) => send(statement, [id])),
  ]);
}

/**
 * Whether another host has finished a removal that this one has begun. Then the row is gone, or it is the row of a new
 * thread of the id. The row of the same thread without its mark is no sign of that: a failover has lost the mark.
 */
export function isRemoved(row: LockedThread | null, madeAt: string | null): boolean {
  return row === null || (row.unfinished !== "removal" && row.madeAt !== madeAt);
}

/**
 * Deletes what is left of a thread that is being removed, as much as one transaction may. Returns whether the
 * removal is over. The transaction has locked the row of the thread.
 */
export async function continueRemoval(
  { statements }: RemovalContext,
  send: Send,
  threadId: string,
  tally?: Counts,
): Promise<boolean> {
  const id = toStored(threadId);
  const { deleteRuns, deleteMessages, deleteValues, deleteDerived } = statements;
  const runs = (await send(deleteRuns, [id, LAST_EPOCH, ROWS])).rows as BytesRow[];
  if (tally !== undefined) countRuns(tally, runs);
  if (runs.length === ROWS) return false;
  const messages = await send(deleteMessages, [id, ROWS]);
  if (messages.rowCount === ROWS) return false;
  const values = (await send(deleteValues, [id, ROWS])).rows as BytesRow[];
  if (tally !== undefined) for (const { bytes } of values) tally.bytes += bytes;
  if (values.length === ROWS) return false;
  // Facts may have been made meanwhile, and a view kept.
  for (const statement of deleteDerived) await send(statement, [id]);
  const { rows } = await send(statements.readThread, [id]);
  const [{ epoch = 0 } = {}] = rows as Partial<ThreadColumns>[];
  await send(statements.deleteThread, [id]);
  await send(statements.raiseRemovedEpoch, [epoch]);
  return true;
}

/** Deletes what is left of a thread that is being removed, in as many transactions as that takes. */
export async function finishRemoval(context: RemovalContext, threadId: string): Promise<void> {
  await context.slices.until(async (send) => {
    const row = await lockThread(context, send, threadId);
    // Another host may have carried on, and be done.
    if (row?.unfinished !== "removal") return true;
    return continueRemoval(context, send, threadId);
  });
  context.onChanged();
}

interface BytesRow {
  readonly bytes: number;
}

/** Counts runs that were deleted, by their bytes. */
export function countRuns(tally: Counts, runs: readonly BytesRow[]): void {
  tally.runs += runs.length;
  for (const { bytes } of runs) tally.bytes += bytes;
}
