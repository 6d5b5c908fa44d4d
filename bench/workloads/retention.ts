import { join } from "node:path";
import { SqliteAgentRunner } from "../../src/index.ts";
import { writeHistories } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median, percentile } from "../statistics.ts";
import { DirectAgent, inputOf } from "./agents.ts";
import { runOnce } from "./run-once.ts";
import { beginSteadily } from "./steady.ts";
import { untilIndexed } from "./until-indexed.ts";
import type { Assignment } from "./workload.ts";

const RUNS_PER_SECOND = 100;

/** The stored runs of the file are more than a day old. */
const MAX_AGE_MS = 3_600_000;

/**
 * How long a run's first event takes before (point 0), during (1) and after (2) a purge of all that the file
 * has from before.
 */
export async function measureRetention(assignment: Assignment): Promise<readonly Point[]> {
  const { points, seconds, warmUpSeconds, directory, settings } = assignment;
  const { eventsPerRun = 24, oldThreads = 1, runsPerThread = 1 } = settings;
  const dbPath = join(directory, "threads.db");
  const ids = Array.from({ length: oldThreads }, (_, at) => `old-${at}`);
  writeHistories(dbPath, new Map(ids.map((id) => [id, runsPerThread])), eventsPerRun);
  const runner = new SqliteAgentRunner({ dbPath });
  await untilIndexed(runner, eventsPerRun);

  const agent = new DirectAgent(eventsPerRun);
  let turn = 0;
  const load = (isOver: () => boolean) =>
    beginSteadily(RUNS_PER_SECOND, isOver, () => {
      const id = `live-${turn++}`;
      return runOnce(runner, agent, inputOf({ threadId: id, runId: id }));
    });
  const loadFor = (lasts: number) => {
    const until = performance.now() + lasts * 1000;
    return load(() => performance.now() >= until);
  };

  await loadFor(warmUpSeconds);
  const before = await loadFor(seconds);
  let isPurged = false;
  const purge = runner.purge({ maxAgeMs: MAX_AGE_MS }).finally(() => {
    isPurged = true;
  });
  const during = await load(() => isPurged);
  const { runs } = await purge;
  const expected = oldThreads * runsPerThread;
  if (runs !== expected) throw new Error(`expected ${expected} runs to be purged, got ${runs}`);
  const after = await loadFor(seconds);
  await runner.close();
  return [before, during, after].flatMap((values, x) => {
    const figures = {
      firstEventMs: median(values),
      firstEventP99Ms: percentile(values, 0.99),
      firstEventMaxMs: Math.max(...values),
    };
    return points.includes(x) ? [{ x, figures }] : [];
  });
}
