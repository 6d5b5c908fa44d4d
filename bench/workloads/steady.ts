import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { median, percentile } from "../statistics.ts";
import { DirectAgent, inputOf, turnIds } from "./agents.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { cpuPerRun, peakRssMiB, readCpu } from "./resources.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment } from "./workload.ts";

/** Enough that a thread's run has ended when its next one is due. */
const THREADS = 200;

/**
 * Begins work at a steady rate until `isOver`, whether the earlier work has ended or not. Resolves with all
 * results.
 */
export async function beginSteadily<Result>(
  perSecond: number,
  isOver: () => boolean,
  begin: () => Promise<Result>,
): Promise<readonly Result[]> {
  const begun: Promise<Result>[] = [];
  const startedAt = performance.now();
  while (!isOver()) {
    begun.push(begin());
    const dueAt = startedAt + (begun.length * 1000) / perSecond;
    await delay(Math.max(0, dueAt - performance.now()));
  }
  return Promise.all(begun);
}

/** Begins as many runs a second as the point says, in turn on the threads. */
export async function measureSteady(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, directory, settings } = assignment;
  const { eventsPerRun = 24, turnsPerThread } = settings;
  const [runsPerSecond = 1] = points;
  const runner = await openPeer(peer, join(directory, "threads.db"));
  const agent = new DirectAgent(eventsPerRun);
  let begun = 0;
  const loadFor = (lasts: number) => {
    const until = performance.now() + lasts * 1000;
    const isOver = () => performance.now() >= until;
    return beginSteadily(runsPerSecond, isOver, () => {
      const turn = Math.floor(begun / THREADS);
      const client = `thread-${begun++ % THREADS}`;
      return runOnce(runner, agent, inputOf(turnIds(client, turn, turnsPerThread)));
    });
  };

  await loadFor(warmUpSeconds);
  const loopDelay = await watchLoopDelay();
  const cpu = readCpu();
  const startedAt = performance.now();
  const firstEventsMs = await loadFor(seconds);
  const elapsed = (performance.now() - startedAt) / 1000;
  const cpuAfter = readCpu();
  const delays = await loopDelay();
  await runner.close();
  const figures = {
    runsPerSecond: firstEventsMs.length / elapsed,
    ...cpuPerRun(cpu, cpuAfter, firstEventsMs.length),
    firstEventMs: median(firstEventsMs),
    firstEventP99Ms: percentile(firstEventsMs, 0.99),
    ...delays,
    rssMiB: peakRssMiB(),
  };
  return [{ x: runsPerSecond, figures }];
}
