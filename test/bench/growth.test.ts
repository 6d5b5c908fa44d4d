import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { measure } from "../../bench/bench.ts";
import { uuidOf } from "../../bench/growth/ids.ts";
import { keepFile, pathOf } from "../../bench/growth/kept-file.ts";
import type { Trial } from "../../bench/trial.ts";
import { TRIALS } from "../../bench/trials/trials.ts";
import { SqliteAgentRunner } from "../../src/index.ts";
import { tempDirectory } from "../support/temp-file.ts";

const RUNS = 12_000;

const effort = { seconds: 0.1, warmUpSeconds: 0, rounds: 1 };

const trials: readonly Trial[] = TRIALS.filter(({ name }) => name === "growth").map((trial) => ({
  ...{ ...trial, full: effort },
}));

const measureIn = (directory: string, runs = RUNS) =>
  measure(
    {
      ...{ trials, quick: false, seconds: null, directory: null, command: "test" },
      kept: { directory, runs },
    },
    { write: () => undefined },
  );

test("the growth trial makes its file once, measures both files, and keeps the large one alone", async () => {
  const directory = join(tempDirectory(), "new");
  const first = await measureIn(directory);
  expect(first.failures).toEqual([]);
  expect(readdirSync(directory)).toEqual([`growth-${RUNS}.db`]);
  const samples = first.trials[0]?.samples ?? [];
  expect(samples.map(({ x }) => x)).toEqual([10_000, RUNS]);
  for (const { figures } of samples) {
    for (const figure of first.trials[0]?.show ?? []) expect(figures[figure]).toBeGreaterThan(0);
  }

  const path = pathOf(directory, RUNS);
  read(path, (db) => {
    // Throws for an index that is not whole.
    db.exec("INSERT INTO thread_search (thread_search) VALUES ('integrity-check')");
    expect(db.pragma("quick_check", { simple: true })).toBe("ok");
  });
  const facts = factsOf(path);
  expect(facts.length).toBeGreaterThan(100);
  expect(facts).toEqual(await factsMadeAgain(path));

  const runs = runsOf(path);
  const reports: number[] = [];
  await keepFile({ path, runs: RUNS }, (share) => reports.push(share));
  expect(reports).toEqual([]);
  // Those of the trial, too.
  expect(runs).toBeGreaterThan(RUNS);
  expect(runsOf(path)).toBe(runs);
});

test("a file of another format is refused, and not touched", async () => {
  const directory = tempDirectory();
  const path = pathOf(directory, RUNS);
  const other = new SqliteAgentRunner({ dbPath: path });
  await other.ready();
  await other.close();
  const { failures, trials: measured } = await measureIn(directory);
  expect(failures).toMatchObject([
    { trial: "growth", message: expect.stringMatching(/^expected .* format 2, .*got format 0, /) },
  ]);
  expect(measured[0]?.samples).toEqual([]);
  expect(existsSync(path)).toBe(true);
});

test("ids of the file look like random UUIDs, and no two are the same", () => {
  const ids = Array.from({ length: 20_000 }, (_, at) => uuidOf(Math.floor(at / 61), at % 61));
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids.slice(0, 100)) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});

function read<Result>(path: string, call: (db: Database.Database) => Result): Result {
  const db = new Database(path);
  try {
    return call(db);
  } finally {
    db.close();
  }
}

const runsOf = (path: string): number =>
  read(path, (db) => db.prepare<[], number>("SELECT count(*) FROM agent_runs").pluck().get() ?? 0);

/** Of threads to which the trial has added no runs. */
const factsOf = (path: string) =>
  read(path, (db) =>
    db
      .prepare(
        `SELECT thread_id, facts, updated_at, run_count FROM thread_facts
         JOIN threads USING (thread_id)
         WHERE NOT EXISTS (SELECT 1 FROM agent_runs r WHERE r.thread_id = threads.thread_id AND r.id > ?)
         ORDER BY thread_id`,
      )
      .all(RUNS),
  );

/** Has the runner itself derive all facts again, from the runs. */
async function factsMadeAgain(path: string) {
  read(path, (db) => db.exec("UPDATE thread_facts SET stale = 1"));
  const runner = new SqliteAgentRunner({ dbPath: path });
  await runner.ready();
  const left = () =>
    read(path, (db) => db.prepare("SELECT 1 FROM thread_facts WHERE stale <> 0 LIMIT 1").get());
  while (left() !== undefined) await new Promise((resolve) => setTimeout(resolve, 50));
  await runner.close();
  return factsOf(path);
}
