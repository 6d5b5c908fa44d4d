import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { type OpResult, START_SEQ, type WriterOp } from "../../src/protocol/messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import {
  prepareReadValueStatements,
  prepareSweepStatements,
  prepareUnfinishedLogStatements,
  type StoredEventsRow,
} from "../../workers/sqlite/values/statements.ts";
import { sweepThread } from "../../workers/sqlite/values/sweep-values.ts";
import { sweepUnfinishedLogs } from "../../workers/sqlite/values/unfinished-logs.ts";
import { interleavedRun } from "../events/random-runs.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import { openRunner, replayOf, runToEnd, spokenIn } from "../support/open-runner.ts";
import { finished, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const run = { threadId: "t", epoch: 1 };

/** A writer without its thread, on a database in memory, with thread "t" held. */
function openWriter() {
  const db = new Database(":memory:");
  migrate(db);
  const config = { dbPath: ":memory:", instanceId: "i", leaseMs: 60_000, file: null };
  let context = createWriterContext(db, config);
  /** As another writer thread would go on. */
  const restart = () => {
    context = createWriterContext(db, config);
  };
  const commit = (...ops: readonly WriterOp[]): readonly OpResult[] => commitBatch(context, ops);
  const claim = {
    number: 1,
    threadId: "t",
    runId: "r",
    messageIds: [],
    messageDigests: [],
    agentId: null,
    resourceId: null,
  };
  commit({ kind: "claim", ...claim });
  return { db, commit, restart, isHeld: () => context.longRuns.take(run) !== null };
}

/** The stored row of a run whose segments were appended, and read ahead in pieces. */
function storedAfter(segments: readonly EventLike[][], pieces: readonly number[]) {
  const { db, commit } = openWriter();
  try {
    let seq = 0;
    const input = JSON.stringify({ state: { a: 1 }, messages: [] });
    for (const [at, events] of segments.entries()) {
      const append = { seq, events: JSON.stringify(events), input: at === 0 ? input : null };
      commit({ kind: "append", ...run, ...append });
      seq++;
    }
    for (const length of pieces) commit({ kind: "compact", ...run, length, segments: seq });
    const end = { runId: "r", agentId: null, segments: segments.length, unread: 0, seq };
    const last = { events: "[]", compactMessages: null, large: [], input: null, finishedAt: 1 };
    const results = commit({ kind: "finish", ...run, ...end, ...last });
    const row = db.prepare("SELECT events, input FROM agent_runs").get();
    const ids = db.prepare("SELECT message_id FROM thread_messages").pluck().all();
    return { results, row, ids };
  } finally {
    db.close();
  }
}

describe("a long run that is read ahead", () => {
  test("is stored like a run that is read at once, whatever its pieces", () => {
    const cut = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 6 });
    fc.assert(
      fc.property(interleavedRun, fc.integer({ min: 1, max: 7 }), cut, (events, size, pieces) => {
        const segments: EventLike[][] = [];
        for (let at = 0; at < events.length; at += size) segments.push(events.slice(at, at + size));
        fc.pre(segments.length > 0);
        expect(storedAfter(segments, pieces)).toEqual(storedAfter(segments, []));
      }),
      { numRuns: 150 },
    );
  });

  test("is stored whole, although a rollback has its writer forget the pieces that it read", () => {
    const { db, commit } = openWriter();
    onTestFinished(() => void db.close());
    const said = (delta: string) =>
      JSON.stringify([{ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta }]);
    commit({ kind: "append", ...run, seq: 0, events: said("one "), input: "{}" });
    commit({ kind: "compact", ...run, length: 10, segments: 1 });
    db.exec(`CREATE TRIGGER rule BEFORE INSERT ON run_events WHEN NEW.seq = 9
      BEGIN SELECT RAISE(ABORT, 'no'); END`);
    const [refused] = commit({ kind: "append", ...run, seq: 9, events: said("no"), input: null });
    expect(refused).toMatchObject({ ok: false });
    commit({ kind: "append", ...run, seq: 1, events: said("two"), input: null });
    const end = { runId: "r", agentId: null, segments: 2, unread: 0, seq: 2 };
    const last = { events: "[]", compactMessages: null, large: [], input: null, finishedAt: 1 };
    expect(commit({ kind: "finish", ...run, ...end, ...last })).toEqual([{ ok: true }]);
    const events = db.prepare<[], string>("SELECT events FROM agent_runs").pluck().get() ?? "[]";
    expect(JSON.parse(events)).toMatchObject([{ delta: "one two" }]);
  });
});

describe("a run of more than 256 MiB", () => {
  const mebibytes = (count: number) => "x".repeat(count * 1024 * 1024);
  const finish = { runId: "r", agentId: null, segments: 5, unread: 0, seq: 5, events: "[]" };
  const end = { ...finish, compactMessages: null, large: [], input: null, finishedAt: 1 };

  test("is stored in parts", () => {
    const { db, commit } = openWriter();
    onTestFinished(() => void db.close());
    const events = (name: string) =>
      JSON.stringify([{ type: "CUSTOM", name, value: mebibytes(60) }]);
    for (let seq = 0; seq < 5; seq++) {
      const input = seq === 0 ? "{}" : null;
      commit({ kind: "append", ...run, seq, events: events(`e${seq}`), input });
      commit({ kind: "compact", ...run, length: 61 * 1024 * 1024, segments: seq + 1 });
    }
    expect(commit({ kind: "finish", ...run, ...end })).toEqual([{ ok: true }]);
    expect(db.prepare("SELECT sum(length) > ? FROM shared_values").pluck().get(300_000_000)).toBe(
      1,
    );
  });
});

test("the state of a long run starts from its input, also where its first event was journaled before", () => {
  const { db, commit } = openWriter();
  onTestFinished(() => void db.close());
  const start = [{ type: "RUN_STARTED", threadId: "t", runId: "r", input: { state: {} } }];
  const change = (value: number) => ({
    type: "STATE_DELTA",
    delta: [{ op: "add", path: "/list/-", value }],
  });
  const events = JSON.stringify([...start, change(2), change(3)]);
  const input = JSON.stringify({ state: { list: [1] } });
  commit({ kind: "append", ...run, seq: START_SEQ, events: JSON.stringify(start), input: null });
  commit({ kind: "append", ...run, seq: 0, events, input });
  commit({ kind: "compact", ...run, length: 1000, segments: 1 });
  const end = { runId: "r", agentId: null, segments: 1, unread: 0, seq: 1 };
  const last = { events: "[]", compactMessages: null, large: [], input: null, finishedAt: 1 };
  expect(commit({ kind: "finish", ...run, ...end, ...last })).toEqual([{ ok: true }]);
  const stored = db.prepare<[], string>("SELECT events FROM agent_runs").pluck().get() ?? "[]";
  const snapshot = { type: "STATE_SNAPSHOT", snapshot: { list: [1, 2, 3] } };
  expect(JSON.parse(stored)).toMatchObject([{ type: "RUN_STARTED" }, snapshot]);
});

/** Events that do not merge, of 64 KiB each. */
const steps = (from: number, count: number): EventLike[] =>
  Array.from({ length: count }, (_, at) => ({
    type: "CUSTOM",
    name: `step ${from + at}`,
    value: "x".repeat(64 * 1024),
  }));

const namesIn = (events: readonly EventLike[]) => events.map(({ name }) => name);

/** A writer with a long run in flight: each `go` journals a MiB of it, and has it compacted. */
function longRun() {
  const { db, commit, restart, isHeld } = openWriter();
  onTestFinished(() => void db.close());
  const reader = new ValueReader(prepareReadValueStatements(db));
  const emitted: EventLike[] = [];
  let seq = 0;
  const numberOf = (sql: string) => db.prepare<[], number>(sql).pluck().get() ?? 0;
  return {
    db,
    commit,
    restart,
    isHeld,
    emitted,
    logs: () => numberOf("SELECT count(*) FROM shared_logs"),
    storedParts: () => numberOf("SELECT count(*) FROM shared_values"),
    /** The results of the append and of the compact. */
    goSomehow(): readonly OpResult[] {
      const events = steps(emitted.length, 17);
      emitted.push(...events);
      const text = JSON.stringify(events);
      const append = { seq, events: text, input: seq === 0 ? "{}" : null };
      seq++;
      const length = text.length;
      return commit(
        { kind: "append", ...run, ...append },
        { kind: "compact", ...run, length, segments: seq },
      );
    },
    go(): void {
      expect(this.goSomehow()).toEqual([{ ok: true }, { ok: true }]);
    },
    finish(): readonly OpResult[] {
      const end = { runId: "r", agentId: null, segments: seq, unread: 0, seq };
      const last = { events: "[]", compactMessages: null, large: [], input: null, finishedAt: 1 };
      return commit({ kind: "finish", ...run, ...end, ...last });
    },
    stored(): EventLike[] {
      const row = db.prepare<[], StoredEventsRow>("SELECT events, shared_events FROM agent_runs");
      const [only] = row.all();
      if (only === undefined) return [];
      return JSON.parse(reader.eventsOf(only)) as EventLike[];
    },
    rowLength: () => numberOf("SELECT length(events) FROM agent_runs"),
    sweepAll: () => {
      const sweep = prepareUnfinishedLogStatements(db);
      while (sweepUnfinishedLogs(sweep)) {
        // Until nothing is left.
      }
      sweepThread(prepareSweepStatements(db), "t");
    },
  };
}

describe("a long run that cannot be merged", () => {
  test("is stored in parts while it is in flight, and its row has only the rest", () => {
    const long = longRun();
    for (let piece = 1; piece <= 4; piece++) {
      long.go();
      expect(long.storedParts()).toBe(piece);
    }
    expect(long.finish()).toEqual([{ ok: true }]);
    expect(long.stored()).toEqual(long.emitted);
    expect(long.rowLength()).toBeLessThan(1024 * 1024);
    expect(long.logs()).toBe(1);
  });

  test("keeps its parts when its thread is swept, in flight and afterwards", () => {
    const long = longRun();
    long.go();
    long.sweepAll();
    long.go();
    expect(long.finish()).toEqual([{ ok: true }]);
    long.sweepAll();
    expect(long.stored()).toEqual(long.emitted);
    long.db.exec("DELETE FROM agent_runs");
    long.sweepAll();
    expect([long.storedParts(), long.logs()]).toEqual([0, 0]);
  });

  test("is stored whole after a rollback, and the parts from before it are swept", () => {
    const long = longRun();
    for (let piece = 0; piece < 3; piece++) long.go();
    long.db.exec(`CREATE TRIGGER rule BEFORE INSERT ON run_events WHEN NEW.seq = 9
      BEGIN SELECT RAISE(ABORT, 'no'); END`);
    const refused = { kind: "append", ...run, seq: 9, events: "[]", input: null } as const;
    expect(long.commit(refused)).toMatchObject([{ ok: false }]);
    expect(long.storedParts()).toBe(3);
    long.go();
    expect(long.logs()).toBe(2);
    expect(long.finish()).toEqual([{ ok: true }]);
    long.sweepAll();
    expect(long.logs()).toBe(1);
    expect(long.stored()).toEqual(long.emitted);
  });

  test.each([
    ["is released", { kind: "release", segments: 2, seq: 2, events: "[]" }],
    ["is given up", { kind: "giveUp", keep: false }],
    ["is given up and what was journaled is kept", { kind: "giveUp", keep: true }],
  ] as const)("leaves no parts behind that nothing uses when it %s", (_what, end) => {
    const long = longRun();
    long.go();
    long.go();
    expect(long.storedParts()).toBe(2);
    expect(long.commit({ ...run, ...end })).toEqual([{ ok: true }]);
    expect(long.isHeld()).toBe(false);
    long.sweepAll();
    const isKept = "keep" in end && end.keep;
    const names = isKept ? namesIn(long.emitted) : [];
    expect(namesIn(long.stored()).slice(0, names.length)).toEqual(names);
    expect(long.logs()).toBe(0);
  });

  test("is stored in parts, too, when what was read ahead is lost before its end", () => {
    const long = longRun();
    for (let piece = 0; piece < 5; piece++) long.go();
    long.restart();
    expect(long.finish()).toEqual([{ ok: true }]);
    long.sweepAll();
    expect(long.stored()).toEqual(long.emitted);
    expect(long.rowLength()).toBeLessThan(1024 * 1024);
    expect(long.logs()).toBe(1);
  });

  test("is forgotten by the writer when it has lost its thread", () => {
    const long = longRun();
    long.go();
    long.db.exec("UPDATE run_state SET epoch = 2");
    expect(long.finish()).toMatchObject([{ ok: false, fault: { code: "LEASE_LOST" } }]);
    expect(long.isHeld()).toBe(false);
    long.sweepAll();
    expect([long.storedParts(), long.logs()]).toEqual([0, 0]);
  });

  test("is read whole from its journal if another program has deleted its parts", () => {
    const long = longRun();
    long.go();
    long.go();
    long.db.exec("DELETE FROM shared_values");
    expect(long.finish()).toEqual([{ ok: true }]);
    expect(long.stored()).toEqual(long.emitted);
  });

  test.each([
    ["all its parts and their log", "DELETE FROM shared_values; DELETE FROM shared_logs"],
    ["one of its parts", "DELETE FROM shared_values WHERE at = 0"],
  ])(
    "is stored whole, and leaves nothing, if another program deletes %s while it goes on",
    (_, sql) => {
      const long = longRun();
      long.go();
      long.go();
      long.db.exec(sql);
      // What finds parts gone fails, and the run is read again from its journal.
      for (let piece = 0; piece < 2; piece++) expect(long.goSomehow()[0]).toEqual({ ok: true });
      expect(long.finish()).toEqual([{ ok: true }]);
      long.sweepAll();
      expect(long.stored()).toEqual(long.emitted);
      const ofNoLog = "SELECT 1 FROM shared_values WHERE log NOT IN (SELECT log FROM shared_logs)";
      expect(long.db.prepare(ofNoLog).all()).toEqual([]);
    },
  );
});

test("eight long runs that end together are stored whole", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, lingerMs: 0 });
  const words = Array.from({ length: 60 }, (_, at) => `${"x".repeat(50_000)}${at} `);
  const gate = Promise.withResolvers<void>();
  const longAgent = scriptedAgent(async function* ({ input }) {
    yield started(input);
    for (const [at, word] of words.entries()) yield* text(`m${at}`, word);
    await gate.promise;
    yield finished(input);
  });
  const runs = Array.from({ length: 8 }, (_, at) => runToEnd(runner, `t${at}`, "r", longAgent));
  await runner.flush();
  gate.resolve();
  for (const [at, events] of (await Promise.all(runs)).entries()) {
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(spokenIn(await replayOf(runner, `t${at}`)) === words.join("")).toBe(true);
    const row = runRows(dbPath, `t${at}`)[0];
    expect(eventsOf(row).at(0)).toMatchObject({ type: "RUN_STARTED" });
    expect(eventsOf(row).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  }
});
