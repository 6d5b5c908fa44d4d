// Executes schedules in a thread of its own: a simulation takes over the timers of its thread.
import { parentPort, workerData } from "node:worker_threads";
import { FAULTS } from "./faults.ts";
import type { LaneData, LaneNews } from "./lanes.ts";
import { planSchedule } from "./schedule.ts";
import { Simulator } from "./simulator.ts";

/** Schedules that are taken at once. After them, and after a failure, the main thread is told. */
const TAKEN_AT_ONCE = 50;

// A schedule that fails is executed again in the main thread, where its errors have stacks. To make stacks
// for the errors of all schedules takes a fifth of the time.
Error.stackTraceLimit = 0;

const { seed, last, faultNames, taken } = workerData as LaneData;
const faults = FAULTS.filter(({ name }) => faultNames.includes(name));
const simulator = new Simulator();
let news: LaneNews = { schedules: 0, runs: 0, failed: [] };

function tell(): void {
  parentPort?.postMessage(news);
  news = { schedules: 0, runs: 0, failed: [] };
}

for (;;) {
  const before = Atomics.add(taken, 0, TAKEN_AT_ONCE);
  if (before >= last) break;
  for (let number = before + 1; number <= Math.min(before + TAKEN_AT_ONCE, last); number++) {
    const { violations, runs } = await simulator.run(planSchedule(seed, number, faults));
    news.schedules++;
    news.runs += runs;
    if (violations.length === 0) continue;
    news.failed.push(number);
    tell();
  }
  tell();
}
