import { join } from "node:path";
import type { ConnectRequest } from "../../src/index.ts";
import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import { STORED_EVENTS_PER_RUN, writeHistories } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import type { Assignment } from "./workload.ts";

const MIN_ROUNDS = 3;

export interface Connected {
  /** Null for an empty thread. */
  readonly firstEventMs: number | null;
  readonly totalMs: number;
  readonly blockMs: number;
}

/** Connects, and expects so many events at least. */
export async function connectOnce(
  runner: BenchRunner,
  request: ConnectRequest,
  expected: number,
): Promise<Connected> {
  const loopDelay = await watchLoopDelay();
  const startedAt = performance.now();
  let events = 0;
  let firstEventMs: number | null = null;
  const totalMs = await new Promise<number>((resolve, reject) => {
    runner.connect(request).subscribe({
      next: () => {
        if (events++ === 0) firstEventMs = performance.now() - startedAt;
      },
      error: reject,
      complete: () => resolve(performance.now() - startedAt),
    });
  });
  const { loopDelayMaxMs } = await loopDelay();
  if (events < expected) {
    throw new Error(`expected ${expected} events or more of ${request.threadId}, got ${events}`);
  }
  return { firstEventMs, totalMs, blockMs: loopDelayMaxMs };
}

/** How long a client waits for threads of different lengths, and how long the event loop is blocked. */
export async function measureConnect(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, directory, settings } = assignment;
  const dbPath = join(directory, "threads.db");
  const threads = points.map((length) => ({ length, threadId: `long-${length}` }));
  const lengths = new Map(threads.map(({ length, threadId }) => [threadId, length]));
  writeHistories(dbPath, lengths, settings.eventsPerRun ?? 24);
  const runner = await openPeer(peer, dbPath);
  const measured = new Map(points.map((length) => [length, [] as Connected[]]));
  const connect = ({ length, threadId }: (typeof threads)[number]) =>
    connectOnce(runner, { threadId }, length * STORED_EVENTS_PER_RUN);

  for (const thread of threads) await connect(thread);
  const until = performance.now() + seconds * 1000;
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    for (const thread of threads) measured.get(thread.length)?.push(await connect(thread));
  }
  await runner.close();
  return [...measured].map(([x, values]) => {
    const blocks = values.map(({ blockMs }) => blockMs);
    const firsts = values.flatMap(({ firstEventMs }) => firstEventMs ?? []);
    const figures = {
      firstEventMs: firsts.length === 0 ? null : median(firsts),
      totalMs: median(values.map(({ totalMs }) => totalMs)),
      longestBlockMs: median(blocks),
      worstBlockMs: Math.max(...blocks),
    };
    return { x, figures };
  });
}
