import { join } from "node:path";
import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { inputOf } from "./agents.ts";
import { PacedAgent } from "./paced-agent.ts";
import type { Assignment } from "./workload.ts";

const MIN_ROUNDS = 3;

/** Measures how long a client that connects in the middle of a run waits for all events so far. */
export async function measureReconnect(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, directory } = assignment;
  const runner = await openPeer(peer, join(directory, "threads.db"));
  const measured = new Map(points.map((emitted) => [emitted, [] as Reconnected[]]));
  let turn = 0;
  for (const emitted of points) await reconnectOnce(runner, emitted, turn++);
  const until = performance.now() + seconds * 1000;
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    for (const [emitted, values] of measured) {
      values.push(await reconnectOnce(runner, emitted, turn++));
    }
  }
  await runner.close();
  return [...measured].map(([x, values]) => {
    const firstEventMs = median(values.map(({ firstEventMs }) => firstEventMs));
    const catchUpMs = median(values.map(({ catchUpMs }) => catchUpMs));
    return { x, figures: { firstEventMs, catchUpMs } };
  });
}

interface Reconnected {
  readonly firstEventMs: number;
  readonly catchUpMs: number;
}

async function reconnectOnce(
  runner: BenchRunner,
  emitted: number,
  turn: number,
): Promise<Reconnected> {
  const agent = new PacedAgent();
  agent.eventsPerRun = emitted + 10;
  const threadId = `thread-${turn}`;
  const stored = new Promise<void>((resolve, reject) => {
    runner
      .run({ threadId, agent, input: inputOf({ threadId, runId: `run-${turn}` }) })
      .subscribe({ complete: resolve, error: reject });
  });
  while (!agent.ready) await new Promise((resolve) => setImmediate(resolve));
  for (let at = 0; at < emitted; at++) agent.step();

  const startedAt = performance.now();
  let events = 0;
  let firstEventMs = 0;
  const caughtUp = Promise.withResolvers<number>();
  const completed = new Promise<void>((resolve, reject) => {
    runner.connect({ threadId }).subscribe({
      next: () => {
        if (events++ === 0) firstEventMs = performance.now() - startedAt;
        if (events === emitted) caughtUp.resolve(performance.now() - startedAt);
      },
      error: reject,
      complete: () => {
        caughtUp.reject(new Error(`expected ${emitted} events before the end, got ${events}`));
        resolve();
      },
    });
  });
  const catchUpMs = await caughtUp.promise;
  while (agent.ready) agent.step();
  await Promise.all([stored, completed]);
  return { firstEventMs, catchUpMs };
}
