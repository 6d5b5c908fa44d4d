import { join } from "node:path";
import { createHistogram } from "node:perf_hooks";
import type { Point } from "../results.ts";
import { turnIds } from "../workloads/agents.ts";
import { cpuPerRun } from "../workloads/resources.ts";
import type { Assignment } from "../workloads/workload.ts";
import { HttpClient } from "./client.ts";
import { type HttpServer, startHttpServer } from "./server.ts";

/** With fewer runs, what a run holds is lost in what the process holds anyway. */
const LIVE_RUNS = 200;

/** Has as many clients as the point says talk to a server, each with one run after another. */
export async function measureHttpLoad(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, directory, settings } = assignment;
  const { eventsPerRun = 24, turnsPerThread } = settings;
  const [clients = 1] = points;
  const server = await startHttpServer({ peer, dbPath: join(directory, "threads.db") });
  const { runtimeUrl } = server;
  const firstEventUs = createHistogram();
  let runs = 0;
  let busyUntil = 0;

  const converse = async (name: string): Promise<void> => {
    let onThread = "";
    let client = new HttpClient(runtimeUrl, onThread);
    for (let turn = 0; performance.now() < busyUntil; turn++) {
      const { threadId, runId } = turnIds(name, turn, turnsPerThread);
      if (threadId !== onThread) client = new HttpClient(runtimeUrl, threadId);
      onThread = threadId;
      const { firstEventMs } = await client.run(runId, { eventsPerRun });
      firstEventUs.record(Math.max(1, Math.round(firstEventMs * 1000)));
      runs++;
    }
  };
  const phase = async (name: string, lasts: number): Promise<number> => {
    const startedAt = performance.now();
    runs = 0;
    firstEventUs.reset();
    busyUntil = startedAt + lasts * 1000;
    await Promise.all(Array.from({ length: clients }, (_, at) => converse(`${name}-${at}`)));
    return (performance.now() - startedAt) / 1000;
  };

  await phase("warm-up", warmUpSeconds);
  await server.ask("watchLoop");
  const before = await server.ask("cpu");
  const elapsed = await phase("thread", seconds);
  const after = await server.ask("cpu");
  const delays = await server.ask("loopDelay");
  const { peakRssMiB } = await server.ask("memory");
  const figures = {
    runsPerSecond: runs / elapsed,
    ...cpuPerRun(before, after, runs),
    firstEventMs: firstEventUs.percentile(50) / 1000,
    firstEventP99Ms: firstEventUs.percentile(99) / 1000,
    ...delays,
    rssMiB: peakRssMiB,
    liveRunKiB: clients >= LIVE_RUNS ? await liveRunKiB(server, clients, eventsPerRun) : null,
  };
  await server.close();
  return [{ x: clients, figures }];
}

/** What the server's main thread holds for each run that has emitted half of its events. */
async function liveRunKiB(
  server: HttpServer,
  clients: number,
  eventsPerRun: number,
): Promise<number> {
  const { heldBytes: idle } = await server.ask("memory");
  const reached: Promise<void>[] = [];
  const runs = Array.from({ length: clients }, (_, at) => {
    const half = Promise.withResolvers<void>();
    reached.push(half.promise);
    const client = new HttpClient(server.runtimeUrl, `live-${at}`);
    return client.run(`live-${at}`, { eventsPerRun, held: true }, (count) => {
      if (count === eventsPerRun / 2) half.resolve();
    });
  });
  await Promise.all(reached);
  const { heldBytes } = await server.ask("memory");
  await server.ask("release");
  await Promise.all(runs);
  return (heldBytes - idle) / clients / 1024;
}
