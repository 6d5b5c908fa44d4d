import { join } from "node:path";
import type { Bench } from "tinybench";
import type { WorkerConfig, WriterOp } from "../../src/protocol/messages.ts";
import { openForWriting } from "../../workers/sqlite/database/open.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";

const THREADS = 100;

/** The cost of starting runs in the writer: a batch of claims, and the batch that releases them. */
export function addClaim(bench: Bench, directory: string): () => void {
  const dbPath = join(directory, "claims.db");
  const config: WorkerConfig = { dbPath, instanceId: "bench", leaseMs: 15_000, file: null };
  const { db } = openForWriting(config);
  const context = createWriterContext(db, config);
  const commit = (ops: readonly WriterOp[]) => {
    const results = commitBatch(context, ops);
    for (const result of results) if (!result.ok) throw new Error(result.fault.message);
    return results;
  };
  let turn = 0;
  let number = 0;
  bench.add(`claim: ${THREADS} threads claimed, then released`, () => {
    turn++;
    const runs = Array.from({ length: THREADS }, (_, at) => ({
      threadId: `thread-${at}`,
      runId: `run-${turn}-${at}`,
    }));
    const claimed = commit(
      runs.map((run) => {
        number++;
        const messages = { messageIds: ["question"], messageDigests: [1] };
        const nobody = { agentId: null, resourceId: null };
        return { kind: "claim", number, ...run, ...messages, ...nobody };
      }),
    );
    const epochs = claimed.map((result) => ("claim" in result ? (result.claim?.epoch ?? 0) : 0));
    const nothing = { segments: 0, seq: 0, events: "[]" };
    commit(
      runs.map((run, at) => ({ kind: "release", ...run, epoch: epochs[at] ?? 0, ...nothing })),
    );
  });
  return () => void db.close();
}
