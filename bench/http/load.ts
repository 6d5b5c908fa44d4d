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
    ...(clients >= LIVE_RUNS ? await measureHeld(server, assignment, clients) : {}),
  };
  await server.close();
  return [{ x: clients, figures }];
}

/**
 * What the server's main thread holds for each run that has emitted half of its events, and for each further
 * client that is connected to such a run. Without a runner, no client can be connected.
 */
async function measureHeld(server: HttpServer, { peer, settings }: Assignment, clients: number) {
  const { eventsPerRun = 24 } = settings;
  const held = async () => (await server.ask("memory")).heldBytes / clients / 1024;
  /** Resolves when each client has so many events: what they do then goes on. */
  const begin = async (
    events: number,
    act: (client: HttpClient, id: string, onEvents: (count: number) => void) => Promise<unknown>,
  ) => {
    const reached: Promise<void>[] = [];
    const acting = Array.from({ length: clients }, (_, at) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      reached.push(promise);
      const id = `live-${at}`;
      const client = new HttpClient(server.runtimeUrl, id);
      return act(client, id, (count) => (count === events ? resolve() : undefined));
    });
    const ended = Promise.all(acting);
    await Promise.race([Promise.all(reached), ended]);
    return { ended };
  };

  const idle = await held();
  const runs = await begin(eventsPerRun / 2, (client, id, onEvents) =>
    client.run(id, { eventsPerRun, held: true }, onEvents),
  );
  const running = await held();
  const canConnect = peer !== "no-runner";
  const connected = canConnect
    ? await begin(1, (client, _, onEvents) => client.connect(onEvents))
    : null;
  const withClients = await held();
  await server.ask("release");
  await Promise.all([runs.ended, connected?.ended]);
  return {
    liveRunKiB: running - idle,
    connectedKiB: canConnect ? withClients - running : null,
  };
}
