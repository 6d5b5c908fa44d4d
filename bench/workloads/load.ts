import { join } from "node:path";
import { createHistogram } from "node:perf_hooks";
import type { RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { DirectAgent, inputOf, turnIds } from "./agents.ts";
import { insertRows } from "./limit.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { cpuPerRun, peakRssMiB, readCpu, writtenBytes, writtenSince } from "./resources.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment, Settings } from "./workload.ts";

type AgentFactory = (input: RunAgentInput) => RunnableAgent;

async function agentFactory(agents: Settings["agents"], events: number): Promise<AgentFactory> {
  if (agents === "client") {
    const { ClientAgent } = await import("./client-agent.ts");
    return (input) => new ClientAgent(events, input);
  }
  const agent = new DirectAgent(events);
  return () => agent;
}

/** Keeps the point's number of threads busy, each with one run after another. */
export async function measureLoad(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, directory, settings } = assignment;
  const { agents, eventsPerRun = 24, turnsPerThread } = settings;
  const [threads = 1] = points;
  if (peer === "limit") return [await insertRows(assignment, threads)];
  const agentFor = await agentFactory(agents, eventsPerRun);
  const runner = await openPeer(peer, join(directory, "threads.db"));
  const firstEventUs = createHistogram();
  let runs = 0;
  let busyUntil = 0;

  const converse = async (client: string): Promise<void> => {
    for (let turn = 0; performance.now() < busyUntil; turn++) {
      const input = inputOf(turnIds(client, turn, turnsPerThread));
      const firstEventMs = await runOnce(runner, agentFor(input), input);
      firstEventUs.record(Math.max(1, Math.round(firstEventMs * 1000)));
      runs++;
    }
  };
  const phase = async (name: string, lasts: number): Promise<number> => {
    const startedAt = performance.now();
    runs = 0;
    firstEventUs.reset();
    busyUntil = startedAt + lasts * 1000;
    await Promise.all(Array.from({ length: threads }, (_, at) => converse(`${name}-${at}`)));
    return (performance.now() - startedAt) / 1000;
  };

  await phase("warm-up", warmUpSeconds);
  const loopDelay = await watchLoopDelay();
  const cpu = readCpu();
  const written = writtenBytes();
  const elapsed = await phase("thread", seconds);
  const cpuAfter = readCpu();
  const bytes = writtenSince(written);
  const delays = await loopDelay();
  await runner.close();
  const figures = {
    runsPerSecond: runs / elapsed,
    eventsPerSecond: (runs * eventsPerRun) / elapsed,
    firstEventMs: firstEventUs.percentile(50) / 1000,
    firstEventP99Ms: firstEventUs.percentile(99) / 1000,
    ...delays,
    ...cpuPerRun(cpu, cpuAfter, runs),
    bytesPerEvent: bytes === null ? null : bytes / (runs * eventsPerRun),
    rssMiB: peakRssMiB(),
  };
  return [{ x: threads, figures }];
}
