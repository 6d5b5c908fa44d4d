// Executes every n-th schedule, in a thread of its own: a simulation takes over the timers of its thread.
import { parentPort, workerData } from "node:worker_threads";
import { FAULTS } from "./faults.ts";
import type { LaneData, LaneNews } from "./lanes.ts";
import { planSchedule } from "./schedule.ts";
import { Simulator } from "./simulator.ts";

/** Schedules after which the main thread is told how far this one has come. */
const NEWS_EVERY = 50;

const { seed, first, step, last, faultNames } = workerData as LaneData;
const faults = FAULTS.filter(({ name }) => faultNames.includes(name));
const simulator = new Simulator();
let news: LaneNews = { schedules: 0, runs: 0, failed: [] };

function tell(): void {
  parentPort?.postMessage(news);
  news = { schedules: 0, runs: 0, failed: [] };
}

for (let number = first; number <= last; number += step) {
  const { violations, runs } = await simulator.run(planSchedule(seed, number, faults));
  news.schedules++;
  news.runs += runs;
  if (violations.length > 0) news.failed.push(number);
  if (violations.length > 0 || news.schedules === NEWS_EVERY) tell();
}
tell();
