import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { percentile } from "../statistics.ts";
import { inputOf } from "./agents.ts";
import { PacedAgent } from "./paced-agent.ts";
import { startServer } from "./postgres-server.ts";
import type { Assignment } from "./workload.ts";

const FOLLOWER = fileURLToPath(new URL("./follower.child.ts", import.meta.url));
const THREAD_ID = "followed";

/** Milliseconds of the machine's monotonic clock, which all its processes share. */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Measures how late each delta of a run of this process arrives in another process that follows the
 * run. Each delta is the time at which it was emitted. Null when the other process got no delta before
 * the run had ended.
 */
export async function measureFollow(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, directory } = assignment;
  const [eventsPerSecond = 50] = points;
  const server = peer === "postgres" ? await startServer() : null;
  const dbPath = (await server?.newDatabase()) ?? join(directory, "threads.db");
  const runner = await openPeer(peer, dbPath);
  const follower = fork(FOLLOWER, [peer, dbPath, THREAD_ID]);
  const exited = once(follower, "exit");
  try {
    await once(follower, "message");
    const agent = new PacedAgent();
    agent.eventsPerRun = Number.MAX_SAFE_INTEGER;
    const ended = new Promise<void>((resolve) => {
      runner
        .run({
          threadId: THREAD_ID,
          agent,
          input: inputOf({ threadId: THREAD_ID, runId: "run" }),
        })
        .subscribe({ complete: resolve });
    });
    const step = () => agent.step(`${machineNowMs().toFixed(3)} `);
    const timer = setInterval(step, 1000 / eventsPerSecond);
    await delay(warmUpSeconds * 1000);
    follower.send("connect");
    await delay(seconds * 1000);
    clearInterval(timer);
    const endedAt = machineNowMs();
    const answer = once(follower, "message");
    agent.end();
    await ended;
    follower.send({ endedAt });
    const [lags] = (await answer) as [readonly number[]];
    const [lagP50Ms, lagP99Ms] =
      lags.length === 0 ? [null, null] : [percentile(lags, 0.5), percentile(lags, 0.99)];
    return [{ x: eventsPerSecond, figures: { lagP50Ms, lagP99Ms } }];
  } finally {
    follower.kill();
    await exited;
    await runner.close();
    await server?.stop();
  }
}
