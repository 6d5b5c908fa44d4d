import "../support/leak-guard.ts";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Child, nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn } from "../support/database-file.ts";
import { openRunner, replayOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { Random } from "../support/random.ts";
import { tempDatabase } from "../support/temp-file.ts";

const LONG_RUN = `${import.meta.dirname}/fixtures/long-run.child.ts`;
/** 8 MiB. */
const EVENTS = 4000;

/** What a killed process has said. */
interface Said {
  stored: number;
  isComplete: boolean;
}

/** Kills a process in the middle of a long run: when it says `last`, or so many milliseconds later. */
async function killedAt(dbPath: string, runId: string, last: string, ms: number): Promise<Said> {
  const child = spawnChild(process.execPath, [LONG_RUN, dbPath, runId, String(EVENTS)]);
  const said: Said = { stored: 0, isComplete: false };
  const hear = (line: string) => {
    if (line.startsWith("stored ")) said.stored = Number(line.slice("stored ".length));
    if (line === "completed") said.isComplete = true;
    return line;
  };
  while (hear(await nextLine(child)) !== last) {
    // Until it says that.
  }
  await delay(ms);
  await child.kill();
  await hearRest(child, hear);
  return said;
}

async function hearRest({ lines }: Child, hear: (line: string) => void): Promise<void> {
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    hear(line.value);
  }
}

test.each([1, 2])(
  "a process that is killed during long runs, again and again, leaves each whole or a beginning of it (seed %i)",
  async (seed) => {
    const random = new Random("long runs", seed);
    const dbPath = tempDatabase();
    const told = new Map<string, Said>();
    for (let round = 0; round < 4; round++) {
      const last =
        round % 2 === 0 ? "ending" : `stored ${300 * random.integer(1, EVENTS / 300 - 1)}`;
      const runId = `run-${round}`;
      told.set(runId, await killedAt(dbPath, runId, last, random.integer(0, 25)));
    }
    const runner = openRunner({ dbPath, leaseMs: 600 });
    const replay = await replayOf(runner, "t");
    for (const [runId, { stored, isComplete }] of told) {
      const from = replay.findIndex((event) => event.runId === runId);
      const to = replay.findIndex(
        ({ type }, at) => at > from && (type === "RUN_FINISHED" || type === "RUN_ERROR"),
      );
      const names = replay.slice(from + 1, to).map(({ name }) => name);
      expect(names).toEqual(names.map((_, at) => `${runId} ${at}`));
      expect(names.length).toBeGreaterThanOrEqual(stored);
      if (isComplete || names.length === EVENTS) continue;
      expect(replay[to]).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
    }
    for (const [runId, { isComplete }] of told) {
      if (!isComplete) continue;
      expect(replay).toContainEqual(expect.objectContaining({ type: "RUN_FINISHED", runId }));
    }
    // Parts of runs that were interrupted are stored again, by whoever ended them: the others are swept.
    const unfinished = "SELECT count(*) FROM shared_logs WHERE epoch IS NOT NULL";
    await eventually(() => valueIn(dbPath, unfinished) === 0);
    await runner.close();
    expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
    const unused =
      "SELECT count(*) FROM shared_values WHERE log NOT IN (SELECT log FROM shared_logs)";
    expect(valueIn(dbPath, unused)).toBe(0);
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  },
);
