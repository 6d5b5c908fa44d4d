import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Options } from "./options.ts";

export interface LaneData {
  readonly seed: number;
  readonly first: number;
  readonly step: number;
  readonly last: number;
  readonly faultNames: readonly string[];
}

/** What came of the schedules that a lane has executed since it said so last. */
export interface LaneNews {
  schedules: number;
  runs: number;
  failed: number[];
}

/** More threads would be no faster on most machines of a CI. */
const MAX_LANES = 4;

/** Executes the schedules, on all processors, until so many have failed. */
export async function runLanes(
  { seed, schedules, faults }: Options,
  {
    maxFailures,
    onNews,
  }: { readonly maxFailures: number; readonly onNews: (sum: LaneNews) => void },
): Promise<LaneNews> {
  const sum: LaneNews = { schedules: 0, runs: 0, failed: [] };
  const faultNames = faults.map(({ name }) => name);
  const lanes = Math.min(MAX_LANES, availableParallelism(), schedules);
  const workers = Array.from({ length: lanes }, (_, lane) => {
    const data: LaneData = { seed, first: lane + 1, step: lanes, last: schedules, faultNames };
    return new Worker(new URL("lane.worker.ts", import.meta.url), { workerData: data });
  });
  const ends = workers.map(async (worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.on("message", (news: LaneNews) => {
      sum.schedules += news.schedules;
      sum.runs += news.runs;
      sum.failed.push(...news.failed);
      onNews(sum);
      if (sum.failed.length >= maxFailures) for (const each of workers) void each.terminate();
    });
    worker.once("error", reject);
    worker.once("exit", () => resolve());
    await promise;
  });
  await Promise.all(ends);
  return { ...sum, failed: sum.failed.sort((a, b) => a - b).slice(0, maxFailures) };
}
