import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ListThreadsQuery, SqliteAgentRunner } from "../../src/index.ts";
import { writeHistories } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { DirectAgent, deltaText, inputOf } from "./agents.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment } from "./workload.ts";

const RUNS_PER_THREAD = 5;

/** A word that is in one thread alone: the last that is indexed. */
const RARE = "unmistakable";

/** Lists and searches in files of so many threads, which version 1 has written and ours has migrated. */
export async function measureThreads(assignment: Assignment): Promise<readonly Point[]> {
  const { points, seconds, directory, settings } = assignment;
  const { eventsPerRun = 24 } = settings;
  const [threads = 1] = points;
  const dbPath = join(directory, "threads.db");
  const ids = Array.from({ length: threads }, (_, at) => `thread-${at}`);
  writeHistories(dbPath, new Map(ids.map((id) => [id, RUNS_PER_THREAD])), eventsPerRun);
  const runner = new SqliteAgentRunner({ dbPath });
  const last = { threadId: "last", runId: "last" };
  await runOnce(runner, new DirectAgent(eventsPerRun), inputOf(last, [], RARE));
  while ((await runner.threads.list({ search: RARE })).threads.length === 0) await delay(100);

  const [common = ""] = deltaText(0).split(" ");
  const queries: Readonly<Record<"listMs" | "searchMs" | "rareSearchMs", ListThreadsQuery>> = {
    listMs: {},
    searchMs: { search: common },
    rareSearchMs: { search: RARE.slice(0, 6) },
  };
  const loopDelay = await watchLoopDelay();
  const figures: Partial<Record<keyof typeof queries, number>> = {};
  for (const [name, query] of Object.entries(queries)) {
    const times: number[] = [];
    const until = performance.now() + (seconds * 1000) / 3;
    while (performance.now() < until || times.length < 5) {
      const startedAt = performance.now();
      await runner.threads.list(query);
      times.push(performance.now() - startedAt);
    }
    figures[name as keyof typeof queries] = median(times);
  }
  const { loopDelayMaxMs } = await loopDelay();
  await runner.close();
  return [{ x: threads, figures: { ...figures, loopDelayMaxMs } }];
}
