import "../support/leak-guard.ts";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import { createVersion1, VERSION_1_RUNS } from "../support/large-version-1-file.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
} from "../support/open-runner.ts";
import { Random } from "../support/random.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { RUN_COUNTS } from "../support/version-1.ts";

const LOAD = fileURLToPath(new URL("fixtures/load.child.ts", import.meta.url));
const THREADS = 8;

interface Told {
  readonly threadId: string;
  /** All text that the agent was about to emit. */
  text: string;
  /** The agent had emitted everything. */
  ended: boolean;
  /** The run's stream was complete. */
  completed: boolean;
}

/** The records of the children of one file, by run id, in the order in which the runs began. */
class RunRecord {
  readonly runs = new Map<string, Told>();

  read(path: string): void {
    for (const line of readFileSync(path, "utf8").split("\n").slice(0, -1)) {
      const [what, threadId = "", runId = "", text = ""] = line.split(" ");
      let run = this.runs.get(runId);
      if (run === undefined) {
        run = { threadId, text: "", ended: false, completed: false };
        this.runs.set(runId, run);
      }
      if (what === "word") run.text += text;
      if (what === "end") run.ended = true;
      if (what === "completed") run.completed = true;
    }
  }

  ofThread(threadId: string): [string, Told][] {
    return [...this.runs].filter(([, run]) => run.threadId === threadId);
  }
}

/** Lets a child work until it has printed a line `times` times, kills it, and reads its record. */
async function workUntilKilled(
  dbPath: string,
  round: number,
  times: number,
  record: RunRecord,
): Promise<void> {
  const recordPath = `${dbPath}.record.${round}`;
  const child = spawnChild(process.execPath, [
    LOAD,
    dbPath,
    recordPath,
    String(round),
    String(THREADS),
  ]);
  expect(await nextLine(child)).toBe("opening");
  for (let time = 0; time < times; time++) expect(await nextLine(child)).toBe("working");
  await child.kill();
  expect((await child.exited).stderr).toBe("");
  record.read(recordPath);
}

/** Checks a file whose process was killed, after a runner has opened it. */
async function expectSound(dbPath: string, record: RunRecord): Promise<void> {
  for (let at = 0; at < THREADS; at++) {
    const threadId = `thread-${at}`;
    const told = record.ofThread(threadId);
    const rows = runRows(dbPath, threadId);
    const stored = new Map(rows.map((row) => [row.run_id, eventsOf(row)]));
    // In the order in which they began, each once, and no other run.
    const storedIds = rows.map((row) => row.run_id).filter((id) => !id.startsWith("after"));
    expect(storedIds).toEqual(told.map(([id]) => id).filter((id) => stored.has(id)));

    for (const [runId, { text, ended, completed }] of told) {
      const events = stored.get(runId);
      if (completed) expect(events, runId).toBeDefined();
      if (events === undefined) continue;
      const types = typesOf(events);
      expect(types.filter((type) => type === "RUN_FINISHED" || type === "RUN_ERROR")).toEqual([
        types.at(-1),
      ]);
      if (completed || types.at(-1) === "RUN_FINISHED") {
        // A run that was not reported as complete may be stored whole, if its agent was done.
        expect(ended, runId).toBe(true);
        expect(spokenIn(events), runId).toBe(text);
        expect(types).toEqual([
          "RUN_STARTED",
          "TEXT_MESSAGE_START",
          "TEXT_MESSAGE_CONTENT",
          "TEXT_MESSAGE_END",
          "RUN_FINISHED",
        ]);
      } else {
        expect(events.at(-1), runId).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
        const spoken = spokenIn(events);
        expect(text.slice(0, spoken.length), runId).toBe(spoken);
      }
    }
  }
  expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
  const unexplained =
    "SELECT count(*) FROM run_events WHERE (thread_id, epoch) NOT IN (SELECT thread_id, epoch FROM retained_journals)";
  expect(valueIn(dbPath, unexplained)).toBe(0);
  expect(valueIn(dbPath, "SELECT count(*) FROM run_state WHERE is_running = 1")).toBe(0);
}

describe("kill -9", () => {
  it.each([1, 2])("under load, round after round on one file (seed %i)", async (seed) => {
    const random = new Random(seed);
    const dbPath = tempDatabase();
    const record = new RunRecord();
    let interrupted = 0;
    for (let round = 0; round < 4; round++) {
      await workUntilKilled(dbPath, round, Math.floor(random.next() * 200), record);
      const runner = openRunner({ dbPath });
      for (let at = 0; at < THREADS; at++) {
        const threadId = `thread-${at}`;
        const replay = await replayOf(runner, threadId);
        await verifyWithClients(replay);
        expect(runIdsIn(replay)).toEqual(runRows(dbPath, threadId).map((row) => row.run_id));
      }
      // Opening the file is enough to end the runs: no request for their threads is needed.
      await expectSound(dbPath, record);
      for (let at = 0; at < THREADS; at++) {
        const threadId = `thread-${at}`;
        const events = await runToEnd(
          runner,
          threadId,
          `after.${threadId}.${round}`,
          answeringAgent(),
        );
        expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
      }
      await expectSound(dbPath, record);
      interrupted += Number(
        valueIn(dbPath, "SELECT count(*) FROM agent_runs WHERE events LIKE '%RUN_INTERRUPTED%'"),
      );
      await runner.close();
    }
    // Otherwise the rounds would have tested nothing.
    expect(interrupted).toBeGreaterThan(0);
    expect([...record.runs.values()].some(({ completed }) => completed)).toBe(true);
  });

  it("while another process goes on with the same file", async () => {
    const random = new Random(7);
    const dbPath = tempDatabase();
    const record = new RunRecord();
    const survivor = openRunner({ dbPath });
    for (let round = 0; round < 3; round++) {
      const runs: Promise<unknown>[] = [];
      const busy = workUntilKilled(dbPath, round, 20 + Math.floor(random.next() * 100), record);
      for (let run = 0; run < 10; run++) {
        runs.push(runToEnd(survivor, `own-${run}`, `own.${round}.${run}`, answeringAgent()));
      }
      await busy;
      await Promise.all(runs);
      // The runs of the dead process are ended as soon as a claim needs their threads.
      for (let at = 0; at < THREADS; at++) {
        const threadId = `thread-${at}`;
        const runId = `after.${threadId}.${round}`;
        const events = await runToEnd(survivor, threadId, runId, answeringAgent());
        expect(typesOf(events).at(-1), JSON.stringify(events.at(-1))).toBe("RUN_FINISHED");
        await verifyWithClients(await replayOf(survivor, threadId));
      }
      await expectSound(dbPath, record);
    }
    for (let run = 0; run < 10; run++) expect(runRows(dbPath, `own-${run}`).length).toBe(3);
    await survivor.close();
  });

  it("while a new file is opened", async () => {
    const random = new Random(11);
    for (let round = 0; round < 4; round++) {
      const dbPath = tempDatabase();
      await killWhileOpening(dbPath, random.next() * 80);
      const runner = openRunner({ dbPath });
      const events = await runToEnd(runner, "t", "r", answeringAgent());
      expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
      await runner.close();
      expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
      expect(valueIn(dbPath, "SELECT max(version) FROM schema_version")).toBe(SCHEMA_VERSION);
    }
  });

  it("while a version 1 file is migrated", async () => {
    const random = new Random(13);
    for (let round = 0; round < 4; round++) {
      const dbPath = tempDatabase();
      createVersion1(dbPath);
      await killWhileOpening(dbPath, 30 + random.next() * 120);
      // The migration is complete or has not happened.
      const version = withDatabase(dbPath, (db) => ({
        number: db.prepare("SELECT max(version) FROM schema_version").pluck().get(),
        threads: db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'threads'").pluck().get(),
      }));
      expect([
        { number: 1, threads: undefined },
        { number: SCHEMA_VERSION, threads: 1 },
      ]).toContainEqual(version);

      const runner = openRunner({ dbPath });
      const events = await runToEnd(runner, "thread-0", "new", answeringAgent());
      expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
      const replay = await replayOf(runner, "thread-0");
      expect(runIdsIn(replay).at(-1)).toBe("new");
      await verifyWithClients(replay);
      await runner.close();
      expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
      // On a slow machine the kill may come late, when the process has begun runs of its own.
      const old = "SELECT count(*) FROM agent_runs WHERE version = 1";
      expect(valueIn(dbPath, old)).toBe(VERSION_1_RUNS);
      const rows = valueIn(dbPath, "SELECT count(*) FROM agent_runs");
      expect(rows).toBeGreaterThan(VERSION_1_RUNS);
      expect(valueIn(dbPath, `SELECT sum(runCount) FROM (${RUN_COUNTS})`)).toBe(rows);
    }
  });
});

/** The moment of the kill is random. It need not be within the opening in every round. */
async function killWhileOpening(dbPath: string, afterMs: number): Promise<void> {
  const child = spawnChild(process.execPath, [LOAD, dbPath, `${dbPath}.record`, "0", "1"]);
  expect(await nextLine(child)).toBe("opening");
  await delay(afterMs);
  await child.kill();
}
