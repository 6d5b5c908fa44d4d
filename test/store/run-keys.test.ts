import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ClaimAnswer, OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { beat } from "../../workers/sqlite/instances/instances.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { Version1 } from "../support/version-1.ts";

function openFile() {
  const db = new Database(":memory:");
  onTestFinished(() => void db.close());
  migrate(db);
  return db;
}

/** The writer of an instance, without its thread. Another writer of the same name is its successor. */
function openWriter(db: Database.Database, instanceId = "this instance") {
  const context = createWriterContext(db, {
    dbPath: ":memory:",
    instanceId,
    leaseMs: 60_000,
    file: null,
  });
  beat(context);
  const commit = (...ops: readonly WriterOp[]): readonly OpResult[] => commitBatch(context, ops);
  const epochOf = (op: WriterOp) => {
    const [result] = commit(op);
    if (result?.ok === false) return result.fault.code;
    const { claim } = result as ClaimAnswer;
    return claim === null ? "THREAD_ALREADY_RUNNING" : claim.epoch;
  };
  return { commit, epochOf, die: () => context.statements.deleteInstance.run(instanceId) };
}

/** All runs have the id "r". */
const claim = (number: number, threadId = "t"): WriterOp => {
  return {
    kind: "claim",
    number,
    threadId,
    runId: "r",
    messageIds: [],
    messageDigests: [],
    agentId: null,
    resourceId: null,
  };
};
const append = (epoch: number, word: string, threadId = "t"): WriterOp => {
  const events = JSON.stringify([{ type: "CUSTOM", name: word, value: null }]);
  return { kind: "append", threadId, epoch, seq: 0, events, input: null };
};
const finish = (epoch: number, word: string, threadId = "t", segments = 0): WriterOp => {
  const events = JSON.stringify([{ type: "CUSTOM", name: word, value: null }]);
  const run = { threadId, runId: "r", epoch, agentId: null, segments, unread: 0, seq: segments };
  return {
    kind: "finish",
    ...run,
    events,
    compactMessages: null,
    large: [],
    input: null,
    finishedAt: 1,
  };
};

/** The stored runs of the thread: their epochs, and the names in their events. */
function stored(db: Database.Database, threadId = "t"): (readonly [number | null, ...string[]])[] {
  const rows = db.prepare<[string], { epoch: number | null; events: string }>(
    "SELECT epoch, events FROM agent_runs WHERE thread_id = ? ORDER BY id",
  );
  return rows.all(threadId).map(({ epoch, events }) => {
    const names = (JSON.parse(events) as { name?: string; type: string }[]).map(
      ({ name, type }) => name ?? type,
    );
    return [epoch, ...names] as const;
  });
}

const LEASE_LOST = { ok: false, fault: { code: "LEASE_LOST" } };

describe("a claim that is sent again", () => {
  test("is the same claim, in the writer that committed it and in its successor", () => {
    const db = openFile();
    const writer = openWriter(db);
    expect(writer.epochOf(claim(1))).toBe(1);
    expect(writer.epochOf(claim(1))).toBe(1);
    expect(openWriter(db).epochOf(claim(1))).toBe(1);
  });

  test("is the same claim after the finish that was sent with it", () => {
    const db = openFile();
    openWriter(db).commit(claim(1));
    const batch = [finish(1, "first"), claim(2)];
    const results = openWriter(db).commit(...batch);
    expect(openWriter(db).commit(...batch)).toEqual(results);
    expect(stored(db)).toEqual([[1, "first"]]);
    expect(openWriter(db).epochOf(claim(2))).toBe(2);
  });

  test("differs from another claim of the same id, for which the first run is an orphan", () => {
    const db = openFile();
    const writer = openWriter(db);
    writer.commit(claim(1), append(1, "orphan"));
    const epoch = Number(writer.epochOf(claim(2)));
    expect(epoch).toBeGreaterThan(1);
    expect(stored(db)).toEqual([[2, "orphan", "RUN_ERROR"]]);
    expect(epoch).toBeGreaterThan(2);
  });

  test("differs from a claim of another instance with the same number", () => {
    const db = openFile();
    const one = openWriter(db, "one");
    expect(one.epochOf(claim(1))).toBe(1);
    expect(openWriter(db, "other").epochOf(claim(1))).toBe("THREAD_ALREADY_RUNNING");
    one.die();
    expect(openWriter(db, "other").epochOf(claim(1))).toBeGreaterThan(1);
  });
});

describe("a finish that is sent again", () => {
  test("finds its run stored, however many runs of that id others have stored since", () => {
    const db = openFile();
    openWriter(db, "one").commit(claim(1));
    const batch = [finish(1, "first")];
    expect(openWriter(db, "one").commit(...batch)).toEqual([{ ok: true }]);
    const other = openWriter(db, "other");
    for (const epoch of [2, 3, 4]) {
      other.commit(claim(epoch));
      other.commit(finish(epoch, `${epoch}`));
      new Version1(db).storeRun("t", `theirs ${epoch}`);
    }
    const before = stored(db);
    expect(openWriter(db, "one").commit(...batch)).toEqual([{ ok: true }]);
    expect(stored(db)).toEqual(before);
  });

  test("does not find the run of another thread that has its id and its epoch", () => {
    const db = openFile();
    const writer = openWriter(db);
    writer.commit(claim(1, "other"), finish(1, "other", "other"));
    expect(writer.commit(finish(1, "never claimed"))).toMatchObject([LEASE_LOST]);
    expect(stored(db)).toEqual([]);
  });
});

describe("a run whose owner was only suspended", () => {
  test("is stored as interrupted, and late writes of its owner are refused and not stored", () => {
    const db = openFile();
    const sleeper = openWriter(db, "sleeper");
    sleeper.commit(claim(1), append(1, "before sleep"));
    sleeper.die();
    const other = openWriter(db, "other");
    const epoch = Number(other.epochOf(claim(1)));
    const before = stored(db);
    expect(before.map(([, ...names]) => names)).toEqual([["before sleep", "RUN_ERROR"]]);
    const late = [append(1, "late"), finish(1, "late", "t", 1)];
    expect(sleeper.commit(...late)).toMatchObject([LEASE_LOST, LEASE_LOST]);
    expect(stored(db)).toEqual(before);
    other.commit(finish(epoch, "next"));
    expect(sleeper.commit(...late)).toMatchObject([LEASE_LOST, LEASE_LOST]);
    expect(stored(db).map(([, ...names]) => names)).toEqual([
      ["before sleep", "RUN_ERROR"],
      ["next"],
    ]);
  });
});

describe("a thread whose state a version 1 runner has replaced", () => {
  test("continues with epochs above the stored epochs", () => {
    const db = openFile();
    const writer = openWriter(db);
    for (const epoch of [1, 2, 3]) writer.commit(claim(epoch), finish(epoch, `${epoch}`));
    const version1 = new Version1(db);
    version1.setState("t", "theirs");
    version1.storeRun("t", "theirs");
    version1.setState("t", null);
    const epoch = writer.epochOf(claim(4));
    expect(epoch).toBe(4);
    // The finish of the stored run does not finish this run.
    writer.commit(finish(4, "4"));
    expect(stored(db).map(([of]) => of)).toEqual([1, 2, 3, null, 4]);
  });
});

describe("a thread whose row in run_state is deleted or replaced while its run executes", () => {
  const lost = { ok: false, fault: { code: "LEASE_LOST" } };

  test.each([
    "DELETE FROM run_state",
    "INSERT OR REPLACE INTO run_state (thread_id, is_running, updated_at) VALUES ('t', 0, 0)",
  ])("belongs only to the next owner: the earlier run is not acknowledged (%s)", (statement) => {
    const db = openFile();
    const before = openWriter(db, "before");
    const after = openWriter(db, "after");
    const first = before.epochOf(claim(1)) as number;
    db.exec(statement);
    const second = after.epochOf(claim(1)) as number;
    expect(before.commit(append(first, "lost"))).toMatchObject([lost]);
    expect(before.commit({ ...finish(first, "lost"), runId: "first" } as WriterOp)).toMatchObject([
      lost,
    ]);
    expect(after.commit(finish(second, "kept"))).toMatchObject([{ ok: true }]);
    // Nor is the other run confused with it.
    expect(before.commit({ ...finish(first, "lost"), runId: "first" } as WriterOp)).toMatchObject([
      lost,
    ]);
    expect(stored(db)).toEqual([[second, "kept"]]);
  });

  test("continues with epochs above the stored epochs", () => {
    const db = openFile();
    const writer = openWriter(db);
    const first = writer.epochOf(claim(1)) as number;
    writer.commit(finish(first, "first"));
    db.exec("DELETE FROM run_state");
    expect(writer.epochOf(claim(2))).toBe(first + 1);
  });
});
