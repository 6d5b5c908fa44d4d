import { join } from "node:path";
import type { Point } from "../results.ts";
import { percentile } from "../statistics.ts";
import { cpuPerRun } from "../workloads/resources.ts";
import type { Assignment } from "../workloads/workload.ts";
import { HttpClient } from "./client.ts";
import { makeHistories } from "./histories.ts";
import { startHttpServer } from "./server.ts";

/** All clients of a server that was restarted connect at once, each to its own thread. */
export async function measureHttpStorm(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, directory, settings } = assignment;
  const { eventsPerRun = 24, runsPerThread = 1 } = settings;
  const [clients = 1] = points;
  const threads = Array.from({ length: clients }, (_, at) => ({
    threadId: `thread-${at}`,
    runs: runsPerThread,
    eventsPerRun,
  }));
  const dbPath = join(directory, "threads.db");
  const histories = await makeHistories(peer, dbPath, threads);
  const server = await startHttpServer({ peer, dbPath, histories });
  await server.ask("watchLoop");
  const before = await server.ask("cpu");
  const startedAt = performance.now();
  const answers = await Promise.all(
    threads.map(({ threadId }) => new HttpClient(server.runtimeUrl, threadId).connect()),
  );
  const totalMs = performance.now() - startedAt;
  const after = await server.ask("cpu");
  const { loopDelayMaxMs } = await server.ask("loopDelay");
  const { peakRssMiB } = await server.ask("memory");
  await server.close();
  const wrong = answers.find(({ messages }) => messages !== 2 * runsPerThread);
  if (wrong !== undefined) throw new Error(`a client got ${wrong.messages} messages`);
  const { cpuUsPerRun, mainUsPerRun } = cpuPerRun(before, after, clients);
  const firsts = answers.map(({ firstEventMs }) => firstEventMs);
  const figures = {
    totalMs,
    firstEventMs: percentile(firsts, 0.5),
    firstEventP99Ms: percentile(firsts, 0.99),
    cpuMsPerConnect: cpuUsPerRun / 1000,
    mainMsPerConnect: mainUsPerRun / 1000,
    worstBlockMs: loopDelayMaxMs,
    rssMiB: peakRssMiB,
  };
  return [{ x: clients, figures }];
}
