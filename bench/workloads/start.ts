import { join } from "node:path";
import { openPeer } from "../peers/open-peer.ts";
import { writeHistories } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median, percentile } from "../statistics.ts";
import { DirectAgent, inputOf } from "./agents.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment } from "./workload.ts";

const MIN_ROUNDS = 3;

/** How long a run's first event takes on idle threads with histories of different lengths. */
export async function measureStart(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, directory, settings } = assignment;
  const { eventsPerRun = 24 } = settings;
  const dbPath = join(directory, "threads.db");
  const threads = points.map((length) => ({ length, threadId: `long-${length}` }));
  const lengths = new Map(threads.map(({ length, threadId }) => [threadId, length]));
  if (peer !== "no-runner") writeHistories(dbPath, lengths, eventsPerRun);
  const runner = await openPeer(peer, dbPath);
  const agent = new DirectAgent(eventsPerRun);
  const measured = new Map(points.map((length) => [length, [] as number[]]));
  let turn = 0;
  const startOn = async ({ length, threadId }: (typeof threads)[number]) => {
    // A thread of length 0 has a run after its first use: take another thread each time.
    const id = length === 0 ? `${threadId}-${turn}` : threadId;
    return runOnce(runner, agent, inputOf({ threadId: id, runId: `${id}-${turn++}` }));
  };

  // Warms up, and has the writer read the message ids that a migration leaves to the first claim.
  for (const thread of threads) await startOn(thread);
  const until = performance.now() + seconds * 1000;
  // In turn, so that a slow phase of the machine affects all lengths.
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    for (const thread of threads) measured.get(thread.length)?.push(await startOn(thread));
  }
  await runner.close();
  return [...measured].map(([x, values]) => {
    const figures = { firstEventMs: median(values), firstEventP99Ms: percentile(values, 0.99) };
    return { x, figures };
  });
}
