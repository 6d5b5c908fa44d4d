import type { Bench } from "tinybench";
import type { OpResult } from "../../src/protocol/messages.ts";
import { Batcher } from "../../src/store/queued/batcher.ts";

const OPERATIONS = 100;
const OK: OpResult = { ok: true };

/** The cost of storing on the main thread. The writer answers at once, so only the queue is measured. */
export function addBatcher(bench: Bench): void {
  const batcher = new Batcher({
    lingerMs: 50,
    maxBatchBytes: 1024 * 1024,
    send: async ({ ops }) => ({ results: ops.map(() => OK), walBytes: 0 }),
    onTrouble(error) {
      throw error;
    },
  });
  bench.add(`batcher: ${OPERATIONS} completions queued and acknowledged`, async () => {
    const acknowledged: Promise<OpResult>[] = [];
    for (let at = 0; at < OPERATIONS; at++) {
      const run = { threadId: "thread", runId: "run", agentId: null, epoch: 1, finishedAt: 0 };
      const stored = {
        segments: 0,
        unread: 0,
        seq: 0,
        events: "[]",
        compactMessages: [],
        large: [],
        input: "{}",
      };
      acknowledged.push(batcher.enqueue({ kind: "finish", ...run, ...stored }));
    }
    await Promise.all(acknowledged);
  });
}
