import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import type { OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { prepareReaderStatements } from "../../workers/sqlite/reads/statements.ts";
import { look as lookAt } from "../../workers/sqlite/reads/tail.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A writer without its thread. */
function openWriter(dbPath = tempDatabase()) {
  const db = new Database(dbPath);
  onTestFinished(() => void db.close());
  db.pragma("journal_mode = WAL");
  migrate(db);
  const instanceId = "this instance";
  const config = { dbPath, instanceId, leaseMs: 60_000, file: null } as const;
  const context = createWriterContext(db, config);
  const epochs = new Map<string, number>();
  const commit = (...ops: readonly WriterOp[]): readonly OpResult[] => {
    const results = commitBatch(context, ops);
    for (const [at, result] of results.entries()) {
      const op = ops[at];
      if (!result.ok || !("claim" in result) || op?.kind !== "claim") continue;
      if (result.claim !== null) epochs.set(op.runId, result.claim.epoch);
    }
    return results;
  };
  const leaseOf = (runId: string) => ({
    threadId: `thread of ${runId}`,
    runId,
    epoch: epochs.get(runId) ?? 1,
  });
  let number = 0;
  const claim = (runId: string): WriterOp => {
    const { threadId } = leaseOf(runId);
    number++;
    return {
      kind: "claim",
      number,
      threadId,
      runId,
      messageIds: [],
      messageDigests: [],
      agentId: null,
      resourceId: null,
    };
  };
  const append = (runId: string, seq: number): WriterOp => {
    const events = JSON.stringify([{ type: "CUSTOM", name: `${runId} ${seq}`, value: null }]);
    return { kind: "append", ...leaseOf(runId), seq, events, input: null };
  };
  const finish = (runId: string, segments: number): WriterOp => {
    const rest = { agentId: null, compactMessages: null, large: [], input: null, finishedAt: 1 };
    return {
      kind: "finish",
      ...leaseOf(runId),
      segments,
      unread: 0,
      seq: segments,
      events: "[]",
      ...rest,
    };
  };
  /** Runs in the journal, and how many segments each has. */
  const journaled = () =>
    Object.fromEntries(
      db
        .prepare<[], [string, number]>(
          "SELECT substr(thread_id, 11), count(*) FROM run_events GROUP BY 1",
        )
        .raw()
        .all(),
    );
  const namesIn = (runId: string) => {
    const row = db
      .prepare<[string], string>("SELECT events FROM agent_runs WHERE run_id = ?")
      .pluck()
      .get(runId);
    const events = JSON.parse(row ?? "[]") as { name?: string }[];
    return events.flatMap(({ name }) => name ?? []);
  };
  return { db, context, commit, claim, append, finish, journaled, namesIn };
}

type Writer = ReturnType<typeof openWriter>;

/** Appends `count` segments to each of the runs in turn. */
function appendAll({ commit, append }: Writer, runIds: readonly string[], count: number, from = 0) {
  for (let seq = from; seq < from + count; seq++) {
    commit(...runIds.map((runId) => append(runId, seq)));
  }
}

describe("the journal of many runs", () => {
  test("takes a few pages per batch, whatever the number of runs", () => {
    const writer = openWriter();
    const runs = Array.from({ length: 200 }, (_, at) => `run-${at}`);
    writer.commit(...runs.map(writer.claim));
    appendAll(writer, runs, 20);
    writer.db.pragma("wal_checkpoint(TRUNCATE)");
    appendAll(writer, runs, 1, 20);
    const [{ log }] = writer.db.pragma("wal_checkpoint") as [{ log: number }];
    expect(log).toBeGreaterThan(0);
    expect(log).toBeLessThan(runs.length / 10);
  });

  test("holds each run's segments in order, and gives them only to that run", () => {
    const writer = openWriter();
    const runs = ["a", "b", "c"];
    writer.commit(...runs.map(writer.claim));
    appendAll(writer, runs, 3);
    writer.commit(writer.finish("b", 3));
    expect(writer.namesIn("b")).toEqual(["b 0", "b 1", "b 2"]);
    appendAll(writer, ["a", "c"], 1, 3);
    writer.commit(writer.finish("c", 4), writer.finish("a", 4));
    expect(writer.namesIn("a")).toEqual(["a 0", "a 1", "a 2", "a 3"]);
    expect(writer.namesIn("c")).toEqual(["c 0", "c 1", "c 2", "c 3"]);
    expect(writer.journaled()).toEqual({});
  });
});

describe("the journal rows of an ended run", () => {
  test("are deleted at once when no other run is in flight", () => {
    const writer = openWriter();
    writer.commit(writer.claim("a"));
    appendAll(writer, ["a"], 3);
    writer.commit(writer.finish("a", 3));
    expect(writer.journaled()).toEqual({});
  });

  test("are deleted when there are many and all runs in flight are younger", () => {
    const writer = openWriter();
    const { commit, claim, finish, journaled } = writer;
    commit(claim("old"));
    appendAll(writer, ["old"], 1200);
    commit(claim("young"));
    appendAll(writer, ["young"], 1);
    commit(finish("old", 1200));
    const left = Number(journaled().old);
    expect(left).toBeLessThan(1200);
    // Some rows with each batch, so that no batch takes long.
    expect(left).toBeGreaterThan(500);
    for (let seq = 1; seq < 4; seq++) appendAll(writer, ["young"], 1, seq);
    expect(journaled()).toEqual({ young: 4 });
  });

  test("are deleted in the end, although a run that began before them goes on", () => {
    const writer = openWriter();
    const { commit, claim, append, finish, journaled, namesIn } = writer;
    commit(claim("long"));
    appendAll(writer, ["long"], 1);
    for (let at = 0; at < 30; at++) {
      commit(claim(`short-${at}`));
      for (let seq = 0; seq < 100; seq++) {
        commit(append(`short-${at}`, seq), append("long", 1 + at * 100 + seq));
      }
      commit(finish(`short-${at}`, 100));
    }
    const { long, ...short } = journaled();
    expect(long).toBe(3001);
    const left = Object.values(short).reduce((sum: number, rows) => sum + Number(rows), 0);
    expect(left).toBeLessThan(2000);
    commit(finish("long", 3001));
    expect(namesIn("long")).toHaveLength(3001);
    expect(journaled()).toEqual({});
  });

  test("are no part of the next run of the same id when their run was released", () => {
    const writer = openWriter();
    const { commit, claim, append, finish, journaled, namesIn } = writer;
    commit(claim("other"), claim("again"));
    appendAll(writer, ["other", "again"], 2);
    const lease = { threadId: "thread of again", epoch: 1 };
    commit({ kind: "release", ...lease, segments: 2, seq: 2, events: "[]" });
    commit(claim("again"));
    commit(append("again", 0));
    expect(journaled()).toEqual({ other: 2, again: 3 });
    commit(finish("again", 1));
    expect(namesIn("again")).toEqual(["again 0"]);
    commit(finish("other", 2));
    expect(journaled()).toEqual({});
  });
});

test("a new follower of a run that has just ended gets the stored run, not the rest of its journal", () => {
  const writer = openWriter();
  const { db, context, commit, claim, finish, journaled } = writer;
  commit(claim("other"), claim("a"));
  appendAll(writer, ["other", "a"], 2);
  const look = () => {
    const request = { ...context, statements: prepareReaderStatements(db) };
    const run = { threadId: "thread of a", epoch: 1, afterId: 0, begun: false };
    return lookAt(request, { runs: [run], threads: [] }).runs[0];
  };
  expect(look()).toMatchObject({ running: true, more: false, stored: null });
  expect(look()?.segments).toHaveLength(2);
  commit(finish("a", 2));
  expect(journaled()).toEqual({ a: 2, other: 2 });
  const ended = look();
  expect(ended).toMatchObject({ running: false, segments: [] });
  expect(JSON.parse(ended?.stored ?? "")).toHaveLength(2);
});

describe("a journal whose batch is sent again", () => {
  test("has each segment once, in the same writer and in its successor", () => {
    const dbPath = tempDatabase();
    const first = openWriter(dbPath);
    first.commit(first.claim("a"), first.claim("b"));
    const batch = [first.append("a", 0), first.append("b", 0), first.append("a", 1)];
    first.commit(...batch);
    expect(first.commit(...batch).every(({ ok }) => ok)).toBe(true);
    expect(first.journaled()).toEqual({ a: 2, b: 1 });
    const second = openWriter(dbPath);
    second.commit(...batch, second.append("a", 2));
    expect(second.journaled()).toEqual({ a: 3, b: 1 });
    second.commit(second.finish("a", 3));
    expect(second.namesIn("a")).toEqual(["a 0", "a 1", "a 2"]);
  });

  test("has each segment once after a batch that was rolled back", () => {
    const writer = openWriter();
    const { db, commit, claim, append, finish, journaled, namesIn } = writer;
    commit(claim("a"), claim("b"));
    commit(append("a", 0), append("b", 0));
    // A full disk.
    db.exec(`CREATE TRIGGER full AFTER INSERT ON agent_runs BEGIN
      SELECT raise(ROLLBACK, 'no room'); END`);
    const batch = [append("b", 1), finish("a", 1)];
    expect(() => commit(...batch)).toThrow();
    db.exec("DROP TRIGGER full");
    expect(journaled()).toEqual({ a: 1, b: 1 });
    expect(commit(...batch).every(({ ok }) => ok)).toBe(true);
    expect(namesIn("a")).toEqual(["a 0"]);
    commit(finish("b", 2));
    expect(namesIn("b")).toEqual(["b 0", "b 1"]);
    expect(journaled()).toEqual({});
  });

  test("keeps the segment of an operation whose neighbour fails", () => {
    const writer = openWriter();
    const { db, commit, claim, append, finish, namesIn } = writer;
    commit(claim("a"), claim("b"));
    commit(append("a", 0), append("b", 0));
    db.exec(`CREATE TRIGGER picky BEFORE INSERT ON agent_runs WHEN NEW.run_id = 'a' BEGIN
      SELECT raise(ABORT, 'not this one'); END`);
    const [appended, refused, stored] = commit(append("b", 1), finish("a", 1), finish("b", 2));
    expect([appended?.ok, refused?.ok, stored?.ok]).toEqual([true, false, true]);
    expect(namesIn("b")).toEqual(["b 0", "b 1"]);
    db.exec("DROP TRIGGER picky");
    commit(finish("a", 1));
    expect(namesIn("a")).toEqual(["a 0"]);
  });
});
