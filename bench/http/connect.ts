import { join } from "node:path";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { cpuPerRun } from "../workloads/resources.ts";
import type { Assignment } from "../workloads/workload.ts";
import { HttpClient } from "./client.ts";
import { type History, makeHistories } from "./histories.ts";
import { startHttpServer } from "./server.ts";

const MIN_ROUNDS = 3;
/** Until what a connect executes is compiled, on both sides. */
const WARM_UPS = 10;

/** How long CopilotKit's client waits for a long thread, and what that costs the server. */
export async function measureHttpConnect(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, directory, settings } = assignment;
  const { eventsPerRun = 24 } = settings;
  const [runs = 1] = points;
  const thread: History = { threadId: "long", runs, eventsPerRun };
  const dbPath = join(directory, "threads.db");
  const histories = await makeHistories(peer, dbPath, [thread]);
  const server = await startHttpServer({ peer, dbPath, histories });
  const connect = () => new HttpClient(server.runtimeUrl, thread.threadId).connect();

  for (let time = 0; time < WARM_UPS; time++) await connect();
  const firsts: number[] = [];
  const totals: number[] = [];
  const blocks: number[] = [];
  const before = await server.ask("cpu");
  const until = performance.now() + seconds * 1000;
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    await server.ask("watchLoop");
    const { firstEventMs, totalMs, messages } = await connect();
    if (messages !== 2 * runs) throw new Error(`expected ${2 * runs} messages, got ${messages}`);
    blocks.push((await server.ask("loopDelay")).loopDelayMaxMs);
    firsts.push(firstEventMs);
    totals.push(totalMs);
  }
  const after = await server.ask("cpu");
  const { peakRssMiB } = await server.ask("memory");
  await server.close();
  const { cpuUsPerRun, mainUsPerRun } = cpuPerRun(before, after, totals.length);
  const figures = {
    firstEventMs: median(firsts),
    totalMs: median(totals),
    cpuMsPerConnect: cpuUsPerRun / 1000,
    mainMsPerConnect: mainUsPerRun / 1000,
    longestBlockMs: median(blocks),
    worstBlockMs: Math.max(...blocks),
    rssMiB: peakRssMiB,
  };
  return [{ x: runs, figures }];
}
