import { join } from "node:path";
import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { inputOf } from "./agents.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { PacedAgent } from "./paced-agent.ts";
import { peakRssMiB, readCpu } from "./resources.ts";
import type { Assignment } from "./workload.ts";

const SAMPLE_EVERY_MS = 100;

/** One conversation whose model emits at a steady pace. */
class Conversation {
  readonly agent = new PacedAgent();
  readonly #runner: BenchRunner;
  readonly #threadId: string;
  #turn = 0;
  #idle = true;
  received = 0;
  error: unknown = null;

  constructor(runner: BenchRunner, threadId: string) {
    this.#runner = runner;
    this.#threadId = threadId;
  }

  /** The model's next event is due: emits it, or starts the next run. */
  tick(eventsPerRun: number): void {
    if (this.agent.ready) this.agent.step();
    else if (this.#idle) this.#start(eventsPerRun);
  }

  #start(eventsPerRun: number): void {
    this.#idle = false;
    this.agent.eventsPerRun = eventsPerRun;
    const runId = `${this.#threadId}-${this.#turn++}`;
    const input = inputOf({ threadId: this.#threadId, runId });
    this.#runner.run({ threadId: this.#threadId, agent: this.agent, input }).subscribe({
      next: (event) => {
        this.received++;
        if (event.type === "RUN_ERROR") this.error = event;
      },
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.#idle = true;
      },
    });
  }

  get idle(): boolean {
    return this.#idle;
  }
}

/**
 * Many conversations at the pace of a model, spread evenly over time, like chunks from many sockets. An
 * event loop that is late has more to do in its next turn: no event is left out.
 */
export async function measureModelPace(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, directory, settings } = assignment;
  const { eventsPerRun = 204, eventsPerSecond = 50 } = settings;
  const [threads = 1] = points;
  const runner = await openPeer(peer, join(directory, "threads.db"));
  const conversations = Array.from(
    { length: threads },
    (_, at) => new Conversation(runner, `thread-${at}`),
  );
  const startedAt = performance.now();
  const perMs = (threads * eventsPerSecond) / 1000;
  let due = 0;
  let ended = false;
  const tick = () => {
    const target = Math.floor((performance.now() - startedAt) * perMs);
    for (; due < target; due++) {
      const at = due % threads;
      // The first runs differ in length. Otherwise all runs would always end at the same time.
      const first = due < 2 * threads;
      const length = first ? 4 + ((at * 7919) % eventsPerRun) : eventsPerRun;
      conversations[at]?.tick(length);
    }
    if (!ended) setTimeout(tick, 1);
  };
  const received = () => conversations.reduce((sum, { received }) => sum + received, 0);
  const until = async (ms: number, each: () => void = () => {}): Promise<void> => {
    while (performance.now() < ms) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
      each();
    }
  };

  tick();
  const warm = startedAt + warmUpSeconds * 1000;
  await until(warm);
  const loopDelay = await watchLoopDelay();
  const cpu = readCpu();
  const before = received();
  const measuredFrom = performance.now();
  const queue: (readonly [number, number])[] = [];
  const lags: number[] = [];
  await until(warm + seconds * 1000, () => {
    const stats = runner.stats();
    if (stats === null) return;
    queue.push([(performance.now() - measuredFrom) / 1000, stats.queueBytes / 1024]);
    lags.push(stats.lagMs);
  });
  const elapsed = (performance.now() - measuredFrom) / 1000;
  const cpuUs = readCpu().processUs - cpu.processUs;
  const events = received() - before;
  const delays = await loopDelay();
  const commitP99Ms = runner.stats()?.commitMs.p99 ?? null;
  ended = true;
  await finishAll(conversations);
  await runner.close();
  const failed = conversations.find(({ error }) => error !== null);
  if (failed !== undefined) throw new Error(`a run failed: ${JSON.stringify(failed.error)}`);

  const figures = {
    eventsPerSecond: events / elapsed,
    ...delays,
    cpuCores: cpuUs / 1e6 / elapsed,
    commitP99Ms,
    ...growthOf(lags),
    rssMiB: peakRssMiB(),
  };
  return [{ x: threads, figures, ...(queue.length > 0 ? { series: { queueKiB: queue } } : {}) }];
}

/** Has every open run emit the rest of its events, and waits until all runs are stored. */
async function finishAll(conversations: readonly Conversation[]): Promise<void> {
  while (conversations.some(({ idle }) => !idle)) {
    for (const { agent } of conversations) while (agent.ready) agent.step();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function growthOf(lags: readonly number[]) {
  const quarter = Math.floor(lags.length / 4);
  if (quarter === 0) return { lagFirstMs: null, lagLastMs: null, lagGrowthMs: null };
  const first = median(lags.slice(0, quarter));
  const last = median(lags.slice(-quarter));
  return { lagFirstMs: first, lagLastMs: last, lagGrowthMs: last - first };
}
