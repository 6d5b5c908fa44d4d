import Database from "better-sqlite3";
import { expect, onTestFinished, test, vi } from "vitest";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { inTransaction } from "../../workers/sqlite/database/transaction.ts";
import { ThreadIndexing } from "../../workers/sqlite/maintenance/thread-indexing.ts";
import { CheckpointRequests, Checkpoints } from "../../workers/sqlite/removal/checkpoints.ts";
import { Slices } from "../../workers/sqlite/removal/slices.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { eventually } from "../support/poll.ts";
import { tempDatabase } from "../support/temp-file.ts";

const THREADS = ["apple", "pear", "plum"] as const;

/** A writer without its thread. `beforeEach` is called before each piece of work that is no batch. */
function openWriter(beforeEach: () => void) {
  const dbPath = tempDatabase();
  const db = new Database(dbPath);
  db.pragma("journal_mode = WAL");
  migrate(db);
  const config = { dbPath, instanceId: "i", leaseMs: 60_000, file: null };
  const context = createWriterContext(db, config);
  const checkpoints = new Checkpoints(db, new CheckpointRequests(() => undefined));
  const hooks = { before: beforeEach, after: () => indexing.afterWrite() };
  const slices = new Slices({ context, hooks, checkpoints });
  const onError = (error: unknown) => expect.unreachable(String(error));
  const indexing: ThreadIndexing = new ThreadIndexing({ context, slices, onError });
  onTestFinished(() => {
    indexing.end();
    db.close();
  });
  const insertThread = db.prepare(
    "INSERT OR IGNORE INTO threads (thread_id, created_at) VALUES (?, 1)",
  );
  const insertRun = db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
     VALUES (?, ?, ?, '{}', 1, 5, 1)`,
  );
  /** A run of each thread, which says the name of the thread. */
  const storeRuns = (round: number) => {
    inTransaction(context, () => {
      for (const threadId of THREADS) {
        const messageId = `${threadId}-${round}`;
        const delta = `${threadId} ${threadId}${round}`;
        const events = [
          { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
          { type: "TEXT_MESSAGE_CONTENT", messageId, delta },
          { type: "RUN_FINISHED" },
        ];
        insertThread.run(threadId);
        insertRun.run(threadId, messageId, JSON.stringify(events));
      }
    });
    indexing.afterBatch(0.1);
  };
  const removeThread = (threadId: string) => {
    inTransaction(context, () => {
      db.prepare("DELETE FROM threads WHERE thread_id = ?").run(threadId);
      db.prepare("DELETE FROM agent_runs WHERE thread_id = ?").run(threadId);
    });
    indexing.afterWrite();
  };
  const value = (sql: string, ...parameters: unknown[]) =>
    db
      .prepare(sql)
      .pluck()
      .get(...parameters);
  const isIndexed = () =>
    value("SELECT max(id) <= (SELECT up_to FROM facts_checkpoint) FROM agent_runs") === 1 &&
    value("SELECT count(*) FROM search_ranges WHERE thread_id IS NULL") === 0 &&
    value("SELECT count(*) FROM thread_facts WHERE stale <> 0") === 0;
  const found = (word: string) =>
    value("SELECT count(*) FROM thread_search WHERE thread_search MATCH ?", word);
  /** From the next change of `table` on, the process seems to have been suspended for an hour, once. */
  let wasSuspended = false;
  const suspendIn = (table: string) => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    db.function("suspend", () => {
      if (!wasSuspended) vi.advanceTimersByTime(3_600_000);
      wasSuspended = true;
      return null;
    });
    db.exec(`CREATE TEMP TRIGGER suspended AFTER INSERT ON ${table} BEGIN SELECT suspend(); END`);
  };
  const whenSuspended = async () => {
    await eventually(() => wasSuspended);
    // After the piece of work, which has taken an hour by the clock.
    await new Promise(setImmediate);
    vi.useRealTimers();
  };
  return { storeRuns, removeThread, isIndexed, found, value, suspendIn, whenSuspended };
}

/** Pieces of work before which a thread is removed: some read, some write, some merge. */
test.for([1, 2, 3, 4])(
  "a thread that the writer removes before its piece of work %i leaves no words",
  async (piece) => {
    let pieces = -1;
    const writer = openWriter(() => {
      if (pieces >= 0 && ++pieces === piece) writer.removeThread("apple");
    });
    // The first piece of all finds that it has not seen the file before.
    writer.storeRuns(1);
    await eventually(writer.isIndexed);
    pieces = 0;
    writer.storeRuns(2);
    await eventually(() => pieces >= piece);
    await eventually(writer.isIndexed);
    expect(THREADS.map((threadId) => writer.found(`${threadId}2`))).toEqual([0, 1, 1]);
    expect(THREADS.map((threadId) => writer.found(threadId))).toEqual([0, 1, 1]);
    expect(writer.value("SELECT group_concat(thread_id) FROM thread_facts")).toBe("pear,plum");
    const runsOf = "SELECT facts ->> 'runs' FROM thread_facts WHERE thread_id = ?";
    expect(writer.value(runsOf, "pear")).toBe(2);
  },
);

test("threads are indexed although the process was suspended during a piece of the work", async () => {
  const writer = openWriter(() => undefined);
  writer.suspendIn("thread_facts");
  writer.storeRuns(1);
  await writer.whenSuspended();
  writer.storeRuns(2);
  await eventually(writer.isIndexed);
  expect(THREADS.map((threadId) => writer.found(`${threadId}2`))).toEqual([1, 1, 1]);
});
