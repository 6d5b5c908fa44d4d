import { Worker } from "node:worker_threads";
import type { Options } from "./options.ts";

export interface LaneData {
  readonly seed: number;
  readonly last: number;
  readonly faultNames: readonly string[];
  /** One number: the last schedule that a lane has taken. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

/** What came of the schedules that a lane has executed since it said so last. */
export interface LaneNews {
  schedules: number;
  runs: number;
  failed: number[];
}

/** Executes the schedules, each in one of several threads, until so many have failed. */
export async function runLanes(
  { seed, schedules, first, jobs, faults, failures }: Options,
  onNews: (sum: LaneNews) => void,
): Promise<LaneNews> {
  const sum: LaneNews = { schedules: 0, runs: 0, failed: [] };
  const faultNames = faults.map(({ name }) => name);
  const taken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  taken[0] = first - 1;
  const workerData: LaneData = { seed, last: first - 1 + schedules, faultNames, taken };
  const workers = Array.from({ length: Math.min(jobs, schedules) }, () => {
    return new Worker(new URL("lane.worker.ts", import.meta.url), { workerData });
  });
  const ends = workers.map(async (worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.on("message", (news: LaneNews) => {
      sum.schedules += news.schedules;
      sum.runs += news.runs;
      sum.failed.push(...news.failed);
      onNews(sum);
      if (sum.failed.length >= failures) for (const each of workers) void each.terminate();
    });
    worker.once("error", reject);
    worker.once("exit", () => resolve());
    await promise;
  });
  await Promise.all(ends);
  return { ...sum, failed: sum.failed.sort((a, b) => a - b).slice(0, failures) };
}
