import { randomUUID } from "node:crypto";
import type { FinishOp, OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { PostgresBackend } from "../../src/store/postgres/postgres-backend.ts";
import type { Load, LoadAssignment } from "../workloads/postgres-load.ts";
import { rowOfOneRun, SCHEMA } from "./postgres-row.ts";

const OPERATIONS = 100;
/** Batches under way: some claim while others finish. */
const GROUPS = 3;

/** Claims and completed runs, straight to the store: what a runner costs beside it is not measured. */
export async function openStoreLoad(assignment: LoadAssignment): Promise<Load> {
  const { input, messages, events } = await rowOfOneRun(assignment);
  const digests = JSON.parse(messages) as FinishOp["compactMessages"];
  const nothing = () => {};
  const backend = new PostgresBackend({
    ...{ connectionString: assignment.url, schema: SCHEMA, prepare: true, answerTimeoutMs: 60_000 },
    ...{ instanceId: randomUUID(), leaseMs: 15_000, interruptedNote: false },
    offersInterrupted: false,
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  });
  await backend.open();
  let seq = 0;
  let number = 0;
  const commit = async (ops: readonly WriterOp[]): Promise<readonly OpResult[]> => {
    const after = seq === 0 ? null : seq;
    const { results } = await backend.commit({ seq: ++seq, after, ops, isAlone: false });
    for (const result of results) if (!result.ok) throw new Error(result.fault.message);
    return results;
  };
  const converse = async (ids: readonly string[], isOver: () => boolean): Promise<number> => {
    let turn = 0;
    for (; !isOver(); turn++) {
      const own = (digests ?? []).map(([, digest], at) => [at, digest] as const);
      const claimed = await commit(
        ids.map((threadId) => ({
          ...{ kind: "claim" as const, number: ++number, threadId, runId: `${threadId}-${turn}` },
          ...{ agentId: "bench", resourceId: null, supersede: false },
          messageIds: own.slice(0, 1).map(([at]) => `${threadId}-${turn}-${at}`),
          messageDigests: own.slice(0, 1).map(([, digest]) => digest),
        })),
      );
      await commit(
        ids.map((threadId, at) => ({
          ...{ kind: "finish" as const, threadId, runId: `${threadId}-${turn}` },
          epoch: epochOf(claimed[at]),
          ...{ agentId: "bench", segments: 0, unread: 0, seq: 0, events, input, large: [] },
          compactMessages: own.map(
            ([id, digest]) => [`${threadId}-${turn}-${id}`, digest] as const,
          ),
          finishedAt: Date.now(),
        })),
      );
    }
    return turn * ids.length;
  };
  return {
    run: async (name, isOver) => {
      const groups = Array.from({ length: GROUPS }, (_, group) =>
        converse(
          Array.from({ length: OPERATIONS }, (_, at) => `${name}-${group}-${at}`),
          isOver,
        ),
      );
      return (await Promise.all(groups)).reduce((sum, runs) => sum + runs, 0);
    },
    close: () => backend.close(new Error("closed") as never, () => 1000),
  };
}

function epochOf(result: OpResult | undefined): number {
  if (result?.ok !== true || !("claim" in result) || result.claim === null) {
    throw new Error("a thread was not claimed");
  }
  return result.claim.epoch;
}
