import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { inputOf } from "./agents.ts";
import { PacedAgent } from "./paced-agent.ts";
import { heldBytes, residentBytes } from "./resources.ts";
import type { Assignment } from "./workload.ts";

/** Runs in flight whose events are emitted in one turn of the event loop. */
const PER_TURN = 20;
const WARM_UP_RUNS = 200;

interface Held {
  /** Of the main thread, after a garbage collection. */
  readonly heap: number;
  /** Of the process, its threads included. */
  readonly resident: number;
}

/** Runs that are in flight together, and what is held for each of them and for each of their clients. */
class LiveRuns {
  readonly #runner: BenchRunner;
  readonly #agents: PacedAgent[] = [];
  readonly #ended: Promise<void>[] = [];
  readonly #threads: string[] = [];
  #leave: (() => void)[] = [];

  constructor(runner: BenchRunner) {
    this.#runner = runner;
  }

  /** Begins runs, each with one client, and has them emit so many events. */
  async begin(name: string, count: number, events: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const agent = new PacedAgent();
      // Two events are left for its end.
      agent.eventsPerRun = events + 2;
      const ids = { threadId: `${name}-${at}`, runId: `${name}-${at}-run` };
      this.#agents.push(agent);
      this.#threads.push(ids.threadId);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#ended.push(promise);
      const run = { threadId: ids.threadId, agent, input: inputOf(ids) };
      this.#runner.run(run).subscribe({ error: reject, complete: resolve });
    }
    for (const [at, agent] of this.#agents.entries()) {
      while (!agent.ready) await delay(1);
      for (let event = 0; event < events; event++) agent.step();
      if (at % PER_TURN === 0) await delay(0);
    }
    await this.#settle();
  }

  /** Connects another client to each run. Resolves when each has got so many events. */
  async connect(events: number): Promise<void> {
    await Promise.all(
      this.#threads.map(async (threadId) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        let got = 0;
        const client = this.#runner.connect({ threadId }).subscribe({
          next: () => ++got === events && resolve(),
          error: reject,
        });
        this.#leave.push(() => client.unsubscribe());
        await promise;
      }),
    );
  }

  disconnect(): void {
    for (const leave of this.#leave) leave();
    this.#leave = [];
  }

  async end(): Promise<void> {
    for (const agent of this.#agents) agent.end();
    await Promise.all(this.#ended);
    await this.#settle();
  }

  /** Waits until what was emitted is stored: it is held until then. */
  async #settle(): Promise<void> {
    while ((this.#runner.stats()?.queueBytes ?? 0) > 0) await delay(10);
  }
}

/** What a run in flight takes in memory, what a further client of it takes, and what both leave behind. */
export async function measureMemory(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, directory, settings } = assignment;
  const { eventsPerRun = 100 } = settings;
  const runner = await openPeer(peer, join(directory, "threads.db"));
  const warmUp = new LiveRuns(runner);
  await warmUp.begin("warm-up", WARM_UP_RUNS, eventsPerRun);
  await warmUp.connect(eventsPerRun);
  warmUp.disconnect();
  await warmUp.end();

  const measured: Point[] = [];
  for (const x of points) {
    const kiB = (from: number, to: number) => (to - from) / x / 1024;
    const idle = await held();
    const runs = new LiveRuns(runner);
    await runs.begin(`${x}`, x, eventsPerRun);
    const running = await held();
    await runs.connect(eventsPerRun);
    const withClients = await held();
    runs.disconnect();
    const left = await held();
    await runs.end();
    const ended = await held();
    measured.push({
      x,
      figures: {
        liveRunKiB: kiB(idle.heap, running.heap),
        residentRunKiB: kiB(idle.resident, running.resident),
        connectedKiB: kiB(running.heap, withClients.heap),
        leftByClientKiB: kiB(running.heap, left.heap),
        leftByRunKiB: kiB(idle.heap, ended.heap),
      },
    });
  }
  await runner.close();
  return measured;
}

async function held(): Promise<Held> {
  return { heap: await heldBytes(), resident: residentBytes() };
}
