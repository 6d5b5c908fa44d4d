import {
  type HeldThread,
  type Holders,
  type HoldersRequest,
  type Journal,
  type RunnerInstance,
  tellsInstances,
} from "../../../protocol/holders.ts";
import { keyOf } from "../../../protocol/run-key.ts";
import { stopOf } from "../../../runs/holder.ts";
import { fromStored, toStored, toStoredOrNull } from "../stored-ids.ts";
import type { SummaryContext } from "./thread-summaries.ts";

interface HeldRow {
  readonly thread_id: string;
  readonly epoch: number;
  readonly run_id: string;
  readonly owner_id: string;
  readonly stop: number;
  readonly claimed_at: number;
  /** Of all such rows. */
  readonly total: number;
}

interface HostRow {
  readonly instance_id: string;
  readonly lease_ms: number;
  readonly seen_at: number;
  readonly held: number;
}

interface JournalRow extends Journal {
  readonly thread_id: string;
  readonly epoch: number;
}

/** Who holds what, for operators. */
export async function readHolders(
  context: SummaryContext,
  request: HoldersRequest,
): Promise<Holders> {
  const { connection, statements, isAlive } = context;
  const { scope, threadId, limit } = request;
  const isEvery = scope === "every";
  const inScope = [isEvery, toStoredOrNull(isEvery ? null : scope.resourceId)];
  const { rows } = await connection.use((send) =>
    threadId === null
      ? send(statements.heldThreads, [...inScope, limit])
      : send(statements.heldThread, [...inScope, toStored(threadId)]),
  );
  const found = rows as HeldRow[];
  await context.expectKnown(found.map(({ owner_id }) => owner_id));
  const heldTotal = Number(found[0]?.total ?? 0);
  const heldOf = (row: HeldRow, journal: Journal | null): HeldThread => ({
    threadId: fromStored(row.thread_id),
    runId: fromStored(row.run_id),
    epoch: row.epoch,
    instanceId: row.owner_id,
    isAlive: isAlive(row.owner_id),
    claimedAt: row.claimed_at,
    stop: stopOf(row.stop),
    journal,
  });
  if (!tellsInstances(request)) {
    const held = found.map((row) => heldOf(row, null));
    return { instances: [], held, heldTotal, journals: null };
  }
  const [hosts, journals] = await connection.use((send) =>
    Promise.all([send(statements.hostsSeen), send(statements.journalSizes)]),
  );
  const byRun = new Map<string, Journal>();
  let [segments, bytes] = [0, 0];
  for (const row of journals.rows as JournalRow[]) {
    byRun.set(keyOf({ threadId: row.thread_id, epoch: row.epoch }), {
      segments: row.segments,
      bytes: row.bytes,
    });
    segments += row.segments;
    bytes += row.bytes;
  }
  const journalOf = ({ thread_id, epoch }: HeldRow): Journal =>
    byRun.get(keyOf({ threadId: thread_id, epoch })) ?? { segments: 0, bytes: 0 };
  return {
    instances: (hosts.rows as HostRow[]).map((row) => instanceOf(context, row)),
    held: found.map((row) => heldOf(row, journalOf(row))),
    heldTotal,
    journals: { segments, bytes },
  };
}

function instanceOf({ instanceId, isAlive }: SummaryContext, row: HostRow): RunnerInstance {
  return {
    id: row.instance_id,
    isOwn: row.instance_id === instanceId,
    isAlive: isAlive(row.instance_id),
    host: null,
    pid: null,
    leaseMs: row.lease_ms,
    seenAt: row.seen_at,
    held: row.held,
  };
}
