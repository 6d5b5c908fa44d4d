import { randomUUID } from "node:crypto";
import Database from "better-sqlite3";
import { expect, onTestFinished, test, vi } from "vitest";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { beat } from "../../workers/sqlite/instances/instances.ts";
import { KeptJournals } from "../../workers/sqlite/maintenance/retained-journals.ts";
import { keepJournal } from "../../workers/sqlite/runs/journal.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";

/** The clock of the process is the test's own: what is alive stays so while it is moved. */
function setUp() {
  vi.useFakeTimers({ toFake: ["performance"] });
  const db = new Database(":memory:");
  onTestFinished(() => {
    vi.useRealTimers();
    db.close();
  });
  migrate(db);
  const contextOf = (instanceId: string) =>
    createWriterContext(db, {
      dbPath: ":memory:",
      instanceId,
      leaseMs: 60_000,
      file: null,
    });
  const context = contextOf(randomUUID());
  const { statements } = context;
  beat(context);
  const keep = (threadId: string, epoch = 1) =>
    keepJournal(context, { threadId, epoch, seq: 0, events: "[{}]" }, []);
  const journals = () =>
    db.prepare<[], string>("SELECT DISTINCT thread_id FROM run_events ORDER BY 1").pluck().all();
  const retained = () => db.prepare("SELECT thread_id, epoch FROM kept_journals").all();
  return { context, contextOf, keep, journals, retained, statements };
}

test("are kept for 30 s after they were first seen while another process is there", () => {
  const { context, contextOf, keep, journals, retained, statements } = setUp();
  beat(contextOf("the other"));
  const kept = new KeptJournals(context);
  keep("first");
  kept.sweep();
  vi.advanceTimersByTime(20_000);
  keep("second");
  statements.insertSegment.run("in flight", 1, 0, "[]");
  kept.sweep();
  expect(journals()).toEqual(["first", "in flight", "second"]);
  vi.advanceTimersByTime(10_000);
  kept.sweep();
  expect(journals()).toEqual(["in flight", "second"]);
  vi.advanceTimersByTime(20_000);
  kept.sweep();
  // Runs in flight are nobody's to sweep, however long they take.
  expect(journals()).toEqual(["in flight"]);
  expect(retained()).toEqual([]);
});

test("go after 5 s when this process is alone", () => {
  const { context, keep, journals } = setUp();
  const kept = new KeptJournals(context);
  keep("run");
  kept.sweep();
  vi.advanceTimersByTime(4999);
  kept.sweep();
  expect(journals()).toEqual(["run"]);
  vi.advanceTimersByTime(1);
  kept.sweep();
  expect(journals()).toEqual([]);
});

test("of two runs of a thread, each is kept for its own time", () => {
  const { context, keep, retained } = setUp();
  const kept = new KeptJournals(context);
  keep("thread", 1);
  kept.sweep();
  vi.advanceTimersByTime(3000);
  keep("thread", 2);
  kept.sweep();
  vi.advanceTimersByTime(2000);
  kept.sweep();
  expect(retained()).toEqual([{ thread_id: "thread", epoch: 2 }]);
});
