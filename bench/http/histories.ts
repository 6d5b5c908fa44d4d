import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import type { PeerName } from "../peers/peers.ts";
import { writeHistories } from "../peers/version-1-file.ts";
import { DirectAgent, inputOf } from "../workloads/agents.ts";
import { runOnce } from "../workloads/run-once.ts";

/** A thread with so many stored runs. */
export interface History {
  readonly threadId: string;
  readonly runs: number;
  readonly eventsPerRun: number;
}

/** Threads that are busy at a time while histories are made. */
const AT_A_TIME = 200;

/** Executes the runs of the threads. */
export async function runHistories(
  runner: BenchRunner,
  histories: readonly History[],
): Promise<void> {
  const waiting = [...histories];
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { threadId, runs, eventsPerRun } = next;
      const agent = new DirectAgent(eventsPerRun);
      for (let turn = 0; turn < runs; turn++) {
        await runOnce(runner, agent, inputOf({ threadId, runId: `${threadId}-${turn}` }));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
}

/**
 * Makes the histories in the peer's file. Returns those that the server has to execute itself: a peer that
 * keeps nothing has no file.
 */
export async function makeHistories(
  peer: PeerName,
  dbPath: string,
  histories: readonly History[],
): Promise<readonly History[]> {
  if (peer === "in-memory") return histories;
  if (peer === "synchronous") {
    // It takes three syncs a run.
    for (const eventsPerRun of new Set(histories.map((history) => history.eventsPerRun))) {
      const alike = histories.filter((history) => history.eventsPerRun === eventsPerRun);
      const lengths = new Map(alike.map(({ threadId, runs }) => [threadId, runs]));
      writeHistories(dbPath, lengths, eventsPerRun);
    }
    return [];
  }
  const runner = await openPeer(peer, dbPath);
  await runHistories(runner, histories);
  await runner.close();
  return [];
}
