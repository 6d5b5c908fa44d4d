import { randomUUID } from "node:crypto";
import Database from "better-sqlite3";
import { expect, onTestFinished, test, vi } from "vitest";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { beat } from "../../workers/sqlite/instances/instances.ts";
import { RetainedJournals } from "../../workers/sqlite/maintenance/retained-journals.ts";
import { retainJournal } from "../../workers/sqlite/runs/journal.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";

/** The test sets the clock of the process. Living instances stay alive while the clock is moved. */
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
  const retain = (threadId: string, epoch = 1) =>
    retainJournal(context, { threadId, epoch, seq: 0, events: "[{}]" }, []);
  const journals = () =>
    db.prepare<[], string>("SELECT DISTINCT thread_id FROM run_events ORDER BY 1").pluck().all();
  const retained = () => db.prepare("SELECT thread_id, epoch FROM retained_journals").all();
  return { context, contextOf, retain, journals, retained, statements };
}

test("are retained for 30 s after they were first seen while another process is there", () => {
  const { context, contextOf, retain, journals, retained, statements } = setUp();
  beat(contextOf("the other"));
  const retainedJournals = new RetainedJournals(context);
  retain("first");
  retainedJournals.sweep();
  vi.advanceTimersByTime(20_000);
  retain("second");
  statements.insertSegment.run("in flight", 1, 0, "[]");
  retainedJournals.sweep();
  expect(journals()).toEqual(["first", "in flight", "second"]);
  vi.advanceTimersByTime(10_000);
  retainedJournals.sweep();
  expect(journals()).toEqual(["in flight", "second"]);
  vi.advanceTimersByTime(20_000);
  retainedJournals.sweep();
  // No sweep deletes the journal of a run in flight, however long the run takes.
  expect(journals()).toEqual(["in flight"]);
  expect(retained()).toEqual([]);
});

test("are deleted after 5 s when this process is alone", () => {
  const { context, retain, journals } = setUp();
  const retainedJournals = new RetainedJournals(context);
  retain("run");
  retainedJournals.sweep();
  vi.advanceTimersByTime(4999);
  retainedJournals.sweep();
  expect(journals()).toEqual(["run"]);
  vi.advanceTimersByTime(1);
  retainedJournals.sweep();
  expect(journals()).toEqual([]);
});

test("of two runs of a thread are retained separately", () => {
  const { context, retain, retained } = setUp();
  const retainedJournals = new RetainedJournals(context);
  retain("thread", 1);
  retainedJournals.sweep();
  vi.advanceTimersByTime(3000);
  retain("thread", 2);
  retainedJournals.sweep();
  vi.advanceTimersByTime(2000);
  retainedJournals.sweep();
  expect(retained()).toEqual([{ thread_id: "thread", epoch: 2 }]);
});
