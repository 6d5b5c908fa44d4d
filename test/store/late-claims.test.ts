import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import { QueuedRunStore } from "../../src/store/queued/queued-run-store.ts";
import { MemoryBackend } from "../support/memory-backend.ts";
import { MemoryDatabase } from "../support/memory-database.ts";
import { collectingLogger } from "../support/open-runner.ts";

const request = (runId: string) => ({
  ...{ threadId: "t", runId, agentId: null, messageIds: [], supersede: () => true },
  onLost() {},
  onStopRequested() {},
});

test("a claim that waited for long does not take the thread from a later run of its process", async () => {
  const leaseMs = 100;
  const backend = new MemoryBackend(new MemoryDatabase(), randomUUID(), leaseMs);
  const commit = backend.commit.bind(backend);
  let failures = 3;
  // Each of these is tried again, later than the one before: the last one later than half of the lease.
  backend.commit = async (batch) => {
    if (failures-- > 0) throw new RunStoreError("DISK_FULL", "no room left");
    return commit(batch);
  };
  const store = new QueuedRunStore({
    backend,
    lingerMs: 50,
    maxBatchBytes: 1024 * 1024,
    maxPendingBytes: 64 * 1024 * 1024,
    leaseMs,
    storeRawEvents: true,
    logger: collectingLogger(),
  });
  onTestFinished(() => store.close(1000));
  // The second run superseded the first one, whose claim had no answer yet.
  const [, second] = await Promise.all([store.claim(request("r1")), store.claim(request("r2"))]);
  if (second.kind === "refused") throw new Error("the second run was refused");
  second.run.append({ type: "CUSTOM", name: "n", value: 1 });
  await second.run.finish(() => {});
  const { segments } = await store.readHistory("t", null);
  expect(segments.map(({ runId }) => runId)).toEqual(["r2"]);
});
