import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import type { OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { interleavedRun } from "../events/random-runs.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import { openRunner, runToEnd, spokenIn } from "../support/open-runner.ts";
import { finished, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const run = { threadId: "t", epoch: 1 };

/** A writer without its thread, on a database in memory, with thread "t" held. */
function openWriter() {
  const db = new Database(":memory:");
  migrate(db);
  const config = { dbPath: ":memory:", instanceId: "i", leaseMs: 60_000, file: null };
  const context = createWriterContext(db, config);
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
  return { db, commit };
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
    for (const length of pieces) commit({ kind: "compact", ...run, length });
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
    commit({ kind: "compact", ...run, length: 10 });
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
    expect(spokenIn(eventsOf(runRows(dbPath, `t${at}`)[0]))).toBe(words.join(""));
  }
});
