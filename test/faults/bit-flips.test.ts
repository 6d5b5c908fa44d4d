import "../support/leak-guard.ts";
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import {
  collectingLogger,
  type LogLine,
  replayOf,
  runIdsIn,
  runToEnd,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";

const CHILD = fileURLToPath(new URL("fixtures/unfinished.child.ts", import.meta.url));
const PAGE = 1024;
const WAL_HEADER = 32;
const FRAME = PAGE + 24;

/** The codes that a damaged file may give. A failure without such a code is a bug. */
const DAMAGE = ["CORRUPT", "NOT_A_DATABASE", "FOREIGN_FILE", "SCHEMA_TOO_NEW", "IO_ERROR"];
/** A flipped schema may still be valid SQL, but name something that does not exist. */
const ODD_SCHEMA = "STORE_FAILED";

const threads = ["t0", "t1", "t2", "t3"];
const RUNS = 5;

/** Four threads of five runs, from a few words to some pages, all of them checkpointed into the file. */
async function soundFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = new SqliteAgentRunner({ dbPath });
  for (let run = 0; run < RUNS; run++) {
    for (const threadId of threads) {
      const agent = scriptedAgent(function* ({ input }) {
        yield started(input);
        yield* text(`answer-${input.runId}`, `run ${run} of it `.repeat(run * 150 + 1));
        yield { type: "STATE_SNAPSHOT", snapshot: { run, threadId } };
        yield { type: "TOOL_CALL_START", toolCallId: `call-${input.runId}`, toolCallName: "x" };
        yield { type: "TOOL_CALL_END", toolCallId: `call-${input.runId}` };
        yield finished(input);
      });
      await runToEnd(runner, threadId, `${threadId}.${run}`, agent);
    }
  }
  await runner.close();
  return dbPath;
}

interface Flip {
  readonly page: number;
  readonly offset: number;
  readonly bit: number;
}

/** Half of them in page headers. */
const flip: fc.Arbitrary<Flip> = fc.record({
  page: fc.nat(0xffff),
  offset: fc.oneof(fc.nat(63), fc.nat(PAGE - 1)),
  bit: fc.nat(7),
});

function withFlips(content: Buffer, flips: readonly Flip[]): Buffer {
  const copy = Buffer.from(content);
  for (const { page, offset, bit } of flips) {
    const at = ((page % Math.ceil(copy.length / PAGE)) * PAGE + offset) % copy.length;
    copy[at] = (copy[at] ?? 0) ^ (1 << bit);
  }
  return copy;
}

/** The runs of a thread that SQLite itself still reads, in order. Null if it cannot. */
function readableRuns(dbPath: string, threadId: string): string[] | null {
  const db = new Database(dbPath, { readonly: true });
  try {
    const rows = db
      .prepare<[string], { run_id: string; events: string }>(
        "SELECT run_id, events FROM agent_runs WHERE thread_id = ? AND id > 0 ORDER BY id",
      )
      .all(threadId);
    return rows.filter(({ events }) => isList(events)).map(({ run_id }) => run_id);
  } catch {
    return null;
  } finally {
    db.close();
  }
}

function isList(json: unknown): boolean {
  try {
    return Array.isArray(JSON.parse(String(json)));
  } catch {
    return false;
  }
}

type Outcome = "whole" | "told" | "not stored";

/** Throws when a stream ends in a way that damage does not explain. */
function outcomeOf(events: readonly ScriptEvent[], isReplay = false): Outcome {
  const last = events.at(-1);
  if (last?.type !== "RUN_ERROR") return "whole";
  expect(last.message).toMatch(/./);
  if (last.code === "PERSISTENCE_FAILED") {
    expect(last.message).toContain("SQLITE_");
    return "not stored";
  }
  // A replay whose last run cannot be read shows the thread's view in that run, and that it has no end.
  if (isReplay && last.code === "INCOMPLETE_STREAM") return "told";
  if (last.code === ODD_SCHEMA) expect(last.message).toContain("SQLITE_ERROR");
  else expect(DAMAGE).toContain(last.code);
  return "told";
}

/** Uses each thread of a damaged file like a server. Returns the number of outcomes of each kind. */
async function useThreads(dbPath: string, readable: ReadonlyMap<string, string[] | null>) {
  const logger = collectingLogger();
  const runner = new SqliteAgentRunner({ dbPath, logger, closeTimeoutMs: 100 });
  const outcomes: Outcome[] = [];
  for (const [threadId, runIds] of readable) {
    const before = await replayOf(runner, threadId);
    await verifyWithClients(before);
    const seen = outcomeOf(before, true);
    // The readable runs are replayed, or the client gets an error.
    if (seen === "whole" && runIds !== null) {
      expect(before.filter(({ type }) => type === "RUN_STARTED").length).toBeGreaterThanOrEqual(
        runIds.length,
      );
    }
    const events = await runToEnd(runner, threadId, `${threadId}.new`, answeringAgent());
    const ran = outcomeOf(events);
    await verifyWithClients(events);
    const after = await replayOf(runner, threadId);
    await verifyWithClients(after);
    outcomeOf(after, true);
    outcomes.push(seen, ran);
  }
  const unsaved = outcomes.includes("not stored");
  const closed = await runner.close().then(
    () => "whole",
    (error: { code: string }) => error.code,
  );
  expect(closed).toBe(unsaved ? "CLOSE_INCOMPLETE" : "whole");
  return { outcomes, lines: logger.lines };
}

const isAboutRow = ({ message }: LogLine) => message.startsWith("a stored run");

it("flipped bits in a file harm only the runs that they hit: each stream ends, with an error that says why", async () => {
  const errors = uncaught();
  const content = readFileSync(await soundFile());
  const total = { whole: 0, told: 0, "not stored": 0, unreadable: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 40 }), async (flips) => {
      const dbPath = tempDatabase();
      const witness = `${dbPath}.witness`;
      for (const path of [dbPath, witness]) writeFileSync(path, withFlips(content, flips));
      const readable = new Map(threads.map((id) => [id, readableRuns(witness, id)] as const));
      const { outcomes, lines } = await useThreads(dbPath, readable);
      for (const outcome of outcomes) total[outcome]++;
      total.unreadable += lines.filter(isAboutRow).length;
    }),
    { numRuns: 18, seed: 20_253, endOnFailure: true },
  );
  // Otherwise the flips would have tested nothing.
  expect(Object.entries(total).filter(([, count]) => count === 0)).toEqual([]);
  expect(errors).toEqual([]);
});

/** The file and the WAL of a killed process: the commits are in the WAL, and not in the file yet. */
async function killedFile(): Promise<string> {
  const dbPath = tempDatabase();
  const child = spawnChild(process.execPath, [CHILD, dbPath, String(threads.length)]);
  expect(await nextLine(child)).toBe("stored");
  await child.kill();
  expect(statSync(`${dbPath}-wal`).size).toBeGreaterThan(WAL_HEADER + 4 * FRAME);
  return dbPath;
}

/** A copy of the file with another WAL, and without the WAL's index, which SQLite makes again. */
function withWal(dbPath: string, wal: Buffer): string {
  const copy = join(tempDirectory(), "threads.db");
  copyFileSync(dbPath, copy);
  writeFileSync(`${copy}-wal`, wal);
  return copy;
}

/** Checks that each thread has a prefix of its runs, and accepts new runs. */
async function checkPrefix(dbPath: string): Promise<number> {
  const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
  let runs = 0;
  for (const threadId of threads) {
    const before = await replayOf(runner, threadId);
    await verifyWithClients(before);
    const all = [1, 2, 3].map((run) => `${threadId}.${run}`);
    const ids = runIdsIn(before);
    expect(ids).toEqual(all.slice(0, ids.length));
    const interrupted = before.filter(({ type }) => type === "RUN_ERROR");
    expect(interrupted.every(({ code }) => code === "RUN_INTERRUPTED")).toBe(true);
    runs += ids.length;
    const after = await runToEnd(runner, threadId, `${threadId}.after`, answeringAgent());
    expect(after.at(-1)?.type).toBe("RUN_FINISHED");
    const replay = await replayOf(runner, threadId);
    expect(runIdsIn(replay)).toEqual([...ids, `${threadId}.after`]);
    await verifyWithClients(replay);
  }
  await runner.close();
  expect(existsSync(`${dbPath}-wal`)).toBe(false);
  const db = new Database(dbPath, { readonly: true });
  expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
  db.close();
  return runs;
}

describe("the WAL of a process that was killed", () => {
  it("is read up to the cut, and each thread accepts runs", async () => {
    const killed = await killedFile();
    const wal = readFileSync(`${killed}-wal`);
    const frames = Math.floor((wal.length - WAL_HEADER) / FRAME);
    const lengths = [
      0,
      WAL_HEADER - 1,
      WAL_HEADER + FRAME * Math.floor(frames / 3) + 100,
      WAL_HEADER + FRAME * Math.floor(frames * 0.8) - 1,
      wal.length - 1,
      wal.length,
    ];
    const runs: number[] = [];
    for (const length of lengths) {
      runs.push(await checkPrefix(withWal(killed, wal.subarray(0, length))));
    }
    expect(runs).toEqual([...runs].sort((a, b) => a - b));
    expect([runs.at(0), runs.at(-1)]).toEqual([0, 3 * threads.length]);
  });

  it("is read up to its first flipped bit, and each thread accepts runs", async () => {
    const killed = await killedFile();
    const wal = readFileSync(`${killed}-wal`);
    const total: number[] = [];
    const position = fc.integer({ min: 0, max: wal.length - 1 });
    await fc.assert(
      fc.asyncProperty(fc.noShrink(position), fc.nat(7), async (at, bit) => {
        const copy = Buffer.from(wal);
        copy[at] = (copy[at] ?? 0) ^ (1 << bit);
        total.push(await checkPrefix(withWal(killed, copy)));
      }),
      { numRuns: 5, seed: 20_251, endOnFailure: true },
    );
    expect(Math.min(...total)).toBeLessThan(3 * threads.length);
    expect(Math.max(...total)).toBeGreaterThan(0);
  });
});
