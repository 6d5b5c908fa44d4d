import "../support/leak-guard.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type { Batch } from "../../src/protocol/messages.ts";
import { StoreUnderTest } from "../../src/store/conformance/store-under-test.ts";
import { SqliteBackend } from "../../src/store/sqlite/sqlite-backend.ts";
import { valueIn } from "../support/database-file.ts";
import { collectingLogger } from "../support/open-runner.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { stall } from "../support/stall.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { exitOf, threadsStarted } from "../support/threads-started.ts";

/*
 * A writer answers batches, and dies while the main thread is busy or suspended: the main thread learns of the death
 * before it reads the answers, and sends the next batch to another writer.
 */

it("a batch is committed by another writer than the batch before it", async () => {
  const threads = threadsStarted();
  const backend = new SqliteBackend({
    dbPath: tempDatabase(),
    instanceId: "one",
    leaseMs: 15_000,
    readers: 1,
    durability: "full",
    logger: collectingLogger(),
  });
  const closed = new RunStoreError("RUNNER_CLOSED", "closed");
  onTestFinished(() => backend.close(closed, () => 5000));
  const batch = (seq: number, after: number | null): Batch => ({
    ...{ seq, after, isAlone: false },
    ops: [{ kind: "confirm", threadId: "t", epoch: 1 }],
  });
  await backend.commit(batch(1, null));
  const [writer] = threads;
  if (writer === undefined) throw new Error("no writer was started");
  const exit = exitOf(writer);
  await terminate([writer]);
  await exit;
  await backend.commit(batch(2, 1));
  await expect(backend.commit(batch(4, 3))).rejects.toMatchObject({ code: "STORE_FAILED" });
});

const HELD = "SELECT count(*) FROM run_state WHERE is_running = 1";

it("a run is claimed behind two answers that wait to be read", async () => {
  const dbPath = tempDatabase();
  const store = sqliteStore(dbPath);
  onTestFinished(() => store.close(5000));
  const threads = threadsStarted();
  await store.ready();
  const [writer] = threads;
  if (writer === undefined) throw new Error("no writer was started");
  const claim = (threadId: string) => {
    const ids = { threadId, runId: "r", agentId: null, messageIds: [] };
    return store.claim({ ...ids, onLost() {}, onStopRequested() {} });
  };
  const exit = exitOf(writer);
  const locking = new Database(dbPath);
  onTestFinished(() => void locking.close());
  locking.exec("BEGIN IMMEDIATE");
  const claims = [claim("first")];
  await nextTurn();
  claims.push(claim("second"));
  await nextTurn();
  // The writer has both batches. From here on, this thread does not give way before the writer is dead.
  locking.exec("COMMIT");
  for (let ms = 0; ms < 2000 && valueIn(dbPath, HELD) !== 2; ms++) stall(1);
  stall(50);
  void writer.terminate();
  stall(500);
  claims.push(claim("third"));
  for (const outcome of await Promise.all(claims)) expect(outcome.kind).toBe("claimed");
  await exit;
});

it("closing takes the answers that wait to be read when its time is over", async () => {
  const dbPath = tempDatabase();
  const store = new StoreUnderTest(sqliteStore(dbPath));
  await store.port.ready();
  const runs = [];
  // More than the answers of one turn of the event loop: one batch is settled a turn, and then synced.
  for (const id of ["a", "b", "c"]) runs.push(await store.claimed(id, "r"));
  const locking = new Database(dbPath);
  onTestFinished(() => void locking.close());
  locking.exec("BEGIN IMMEDIATE");
  const finished = [];
  for (const run of runs) {
    finished.push(run.finish());
    await nextTurn();
  }
  const closed = store.port.close(300);
  await nextTurn();
  locking.exec("COMMIT");
  for (let ms = 0; ms < 2000 && valueIn(dbPath, HELD) !== 0; ms++) stall(1);
  stall(400);
  await expect(Promise.all([closed, ...finished])).resolves.toBeDefined();
});
