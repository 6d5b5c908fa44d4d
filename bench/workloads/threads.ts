import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SqliteAgentRunner } from "../../src/index.ts";
import { writeHistories } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { deltaText } from "./agents.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { RARE, untilIndexed } from "./until-indexed.ts";
import type { Assignment } from "./workload.ts";

/** The thread that is read whole, and its runs. */
const LONG = { id: "long", runs: 2000 };

const MIN_ROUNDS = 5;

/** How long the loop is watched while nothing is asked, in milliseconds. */
const IDLE_MS = 20;

type Call = (runner: SqliteAgentRunner) => Promise<unknown>;

/** Two words of every answer. */
const [first = "", , , , second = ""] = deltaText(0).split(" ");

/** Reported with their times. */
const LISTS = {
  listMs: ({ threads }) => threads.list(),
  searchMs: ({ threads }) => threads.list({ search: first }),
  twoWordsMs: ({ threads }) => threads.list({ search: `${first} ${second}` }),
  rareSearchMs: ({ threads }) => threads.list({ search: RARE.slice(0, 6) }),
} as const satisfies Record<string, Call>;

/** Reported only by how long they block the event loop. */
const READS: readonly Call[] = [
  ({ threads }) => threads.get(LONG.id),
  ({ threads }) => threads.runs(LONG.id),
  ({ threads }) => threads.messages(LONG.id),
  ({ threads }) => threads.state(LONG.id),
  async ({ threads }) => {
    let events = 0;
    for await (const _ of threads.events(LONG.id)) events++;
    return events;
  },
];

/** A call, and what was measured of it. */
class Measured {
  readonly call: Call;
  readonly ms: number[] = [];
  readonly blocksMs: number[] = [];

  constructor(call: Call) {
    this.call = call;
  }

  async once(runner: SqliteAgentRunner): Promise<void> {
    const loopDelay = await watchLoopDelay();
    const startedAt = performance.now();
    await this.call(runner);
    this.ms.push(performance.now() - startedAt);
    this.blocksMs.push((await loopDelay()).loopDelayMaxMs);
  }
}

/** Lists, searches and reads of files with so many threads, which version 1 has written and ours has migrated. */
export async function measureThreads(assignment: Assignment): Promise<readonly Point[]> {
  const { points, seconds, directory, settings } = assignment;
  const { eventsPerRun = 24, runsPerThread = 1 } = settings;
  const [threads = 1] = points;
  const dbPath = join(directory, "threads.db");
  const lengths = new Map([[LONG.id, LONG.runs]]);
  for (let at = 0; at < threads; at++) lengths.set(`thread-${at}`, runsPerThread);
  writeHistories(dbPath, lengths, eventsPerRun);
  const runner = new SqliteAgentRunner({ dbPath });
  await untilIndexed(runner, eventsPerRun);

  const lists = Object.entries(LISTS).map(([figure, call]) => ({ figure, of: new Measured(call) }));
  const calls = [...lists.map(({ of }) => of), ...READS.map((call) => new Measured(call))];
  const idle = new Measured(() => delay(IDLE_MS));
  // Compiles what is called.
  for (const { call } of calls) await call(runner);
  const until = performance.now() + seconds * 1000;
  // In turn, so that a slow phase of the machine affects all calls.
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    for (const measured of [idle, ...calls]) await measured.once(runner);
  }
  await runner.close();
  const blocks = calls.map(({ blocksMs }) => median(blocksMs) - median(idle.blocksMs));
  const figures = {
    ...Object.fromEntries(lists.map(({ figure, of }) => [figure, median(of.ms)])),
    longestBlockMs: Math.max(0, ...blocks),
    worstBlockMs: Math.max(...calls.flatMap(({ blocksMs }) => blocksMs)),
  };
  return [{ x: threads, figures }];
}
