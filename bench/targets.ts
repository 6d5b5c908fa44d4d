import type { FigureName } from "./figures.ts";
import type { PeerName } from "./peers/peers.ts";
import { TYPICAL_THREADS } from "./trial.ts";

/** A figure of one peer at one point of a trial. */
export interface FigureRef {
  readonly trial: string;
  readonly x: number;
  readonly figure: FigureName;
  readonly peer: PeerName;
}

export interface Condition extends FigureRef {
  readonly is: ">=" | "<=";
  readonly bound: number;
  /**
   * The figure to compare with: the same figure, except for the fields given here, or the same figure of
   * the earlier result that `--compare` names. Without this, the median of the figure itself is compared
   * with the bound.
   */
  readonly against?: Partial<FigureRef> | "earlier";
  /** What is compared with the bound: the ratio of the two (default), or their difference. */
  readonly how?: "ratio" | "difference";
}

export interface Target {
  readonly text: string;
  readonly conditions: readonly Condition[];
}

const load = { trial: "throughput", peer: "durable" } as const;
const busy = { ...load, x: TYPICAL_THREADS } as const;
const client = { trial: "client-pipeline", x: TYPICAL_THREADS, peer: "durable" } as const;
const steady = { trial: "steady", x: 300, peer: "durable" } as const;
const http = { trial: "http", x: 50, peer: "durable" } as const;
const pace = { trial: "model-pace", x: 1000, peer: "durable" } as const;
const threads = { trial: "threads", x: 100_000, peer: "durable" } as const;
const folded = { trial: "connect-folded", x: 2000, peer: "durable" } as const;
const connect = { trial: "connect", x: 2000, peer: "durable" } as const;
const postgres = { trial: "postgres", x: 1 } as const;

/** A figure of the trial growth at 10 million runs: at most 1.5x that at 10 000. */
const grown = (figure: FigureName): Condition => ({
  ...{ trial: "growth", x: 10_000_000, peer: "durable", figure },
  ...{ is: "<=", bound: 1.5, against: { x: 10_000 } },
});

const inMemory = { peer: "in-memory" } as const;
const noRunner = { peer: "no-runner" } as const;

/** The targets of this runner on two cores. Ratios are between peers of one run of the harness. */
export const TARGETS: readonly Target[] = [
  {
    text: "1000 busy threads: at least 1.1x InMemoryAgentRunner",
    conditions: [
      { ...load, x: 1000, figure: "runsPerSecond", is: ">=", bound: 1.1, against: inMemory },
    ],
  },
  {
    text: "200 busy threads: at least 1x InMemoryAgentRunner, and 0.6x the bare loop",
    conditions: [
      { ...busy, figure: "runsPerSecond", is: ">=", bound: 1, against: inMemory },
      { ...busy, figure: "runsPerSecond", is: ">=", bound: 0.6, against: { peer: "limit" } },
    ],
  },
  {
    text: "50 busy threads: at least 0.5x InMemoryAgentRunner",
    conditions: [
      { ...load, x: 50, figure: "runsPerSecond", is: ">=", bound: 0.5, against: inMemory },
    ],
  },
  {
    text: "One thread, one run after another: at least 12x synchronous",
    conditions: [
      {
        ...{ ...load, x: 1, figure: "runsPerSecond", is: ">=", bound: 12 },
        against: { peer: "synchronous" },
      },
    ],
  },
  {
    text: "Event-loop delay, 200 busy threads: p99 at most InMemoryAgentRunner's + 1 ms, max at most 15 ms",
    conditions: [
      {
        ...{ ...busy, figure: "loopDelayP99Ms", is: "<=", bound: 1 },
        ...{ against: inMemory, how: "difference" },
      },
      { ...busy, figure: "loopDelayMaxMs", is: "<=", bound: 15 },
    ],
  },
  {
    text: "200 busy threads through the client's pipeline: at least 0.9x no runner",
    conditions: [{ ...client, figure: "runsPerSecond", is: ">=", bound: 0.9, against: noRunner }],
  },
  {
    text: "300 runs/s: at most 600 µs of processor time a run beyond no runner",
    conditions: [
      {
        ...{ ...steady, figure: "cpuUsPerRun", is: "<=", bound: 600 },
        ...{ against: noRunner, how: "difference" },
      },
    ],
  },
  {
    text: "300 runs/s: at most 0.7x the processor time a run of an earlier result (--compare FILE)",
    conditions: [{ ...steady, figure: "cpuUsPerRun", is: "<=", bound: 0.7, against: "earlier" }],
  },
  {
    text: "Over HTTP, 50 clients: at most 1.1x the processor time of a server with InMemoryAgentRunner, and at least 0.98x its runs/s",
    conditions: [
      { ...http, figure: "cpuUsPerRun", is: "<=", bound: 1.1, against: inMemory },
      { ...http, figure: "runsPerSecond", is: ">=", bound: 0.98, against: inMemory },
    ],
  },
  {
    text: "1000 threads at 50 events/s each: no growing lag, loop delay p99 at most 10 ms beyond the same without a runner, max at most InMemoryAgentRunner's",
    conditions: [
      // A slow runner reduces its own load, because each thread waits for its last run.
      {
        ...pace,
        figure: "eventsPerSecond",
        is: ">=",
        bound: 0.95,
        against: noRunner,
      },
      // The quarters differ a little even if the queue does not grow. A runner that cannot keep up is
      // late by seconds after 20 s.
      { ...pace, figure: "lagGrowthMs", is: "<=", bound: 50 },
      {
        ...pace,
        figure: "loopDelayP99Ms",
        is: "<=",
        bound: 10,
        against: noRunner,
        how: "difference",
      },
      { ...pace, figure: "loopDelayMaxMs", is: "<=", bound: 1, against: inMemory },
    ],
  },
  {
    text: "First event of a run on a thread of 10 000 runs: at most 1.3x that of an empty thread",
    conditions: [
      {
        trial: "start",
        x: 10_000,
        peer: "durable",
        figure: "firstEventMs",
        is: "<=",
        bound: 1.3,
        against: { x: 0 },
      },
    ],
  },
  {
    text: "connect to 10 000 runs (50 000 events): longest block of the loop at most 5 ms, the worst of all",
    conditions: [{ ...connect, x: 10_000, figure: "worstBlockMs", is: "<=", bound: 5 }],
  },
  {
    text: "connect to 2000 runs (10 000 events): first event within 10 ms, longest block of the loop at most 5 ms, total at most 0.3x synchronous",
    conditions: [
      { ...connect, figure: "firstEventMs", is: "<=", bound: 10 },
      { ...connect, figure: "longestBlockMs", is: "<=", bound: 5 },
      { ...connect, figure: "totalMs", is: "<=", bound: 0.3, against: { peer: "synchronous" } },
    ],
  },
  {
    text: "connect to the last 20 of 2000 runs (36 000 events, 8000 messages): first event within 10 ms, also when the file was reopened or nobody has read the thread, longest block of the loop at most 5 ms",
    conditions: [
      { ...folded, figure: "firstEventMs", is: "<=", bound: 10 },
      { ...folded, figure: "firstEventReopenedMs", is: "<=", bound: 10 },
      { ...folded, figure: "firstEventColdMs", is: "<=", bound: 10 },
      { ...folded, figure: "longestBlockMs", is: "<=", bound: 5 },
    ],
  },
  {
    text: "File after a 200-turn conversation: at most 1/10 of synchronous",
    conditions: [
      {
        trial: "storage",
        x: 200,
        peer: "durable",
        figure: "fileKiB",
        is: "<=",
        bound: 0.1,
        against: { peer: "synchronous" },
      },
    ],
  },
  {
    text: "PostgreSQL, the store alone: at least 0.5x of the bare insert of the same rows, at most 30 µs of the main thread a run",
    conditions: [
      {
        ...postgres,
        peer: "postgres-store",
        figure: "runsPerSecond",
        is: ">=",
        bound: 0.5,
        against: { peer: "postgres-limit" },
      },
      { ...postgres, peer: "postgres-store", figure: "mainUsPerRun", is: "<=", bound: 30 },
    ],
  },
  {
    text: "PostgreSQL: a run of another host is followed within lingerMs (50) + 30 ms, median",
    conditions: [
      {
        trial: "postgres-follow",
        x: 50,
        peer: "postgres",
        figure: "lagP50Ms",
        is: "<=",
        bound: 80,
      },
    ],
  },
  {
    text: "100 000 threads: a page of a list within 5 ms, a search for two words of all threads within 50 ms, longest block of the loop at most 5 ms",
    conditions: [
      { ...threads, figure: "listMs", is: "<=", bound: 5 },
      { ...threads, figure: "twoWordsMs", is: "<=", bound: 50 },
      { ...threads, figure: "longestBlockMs", is: "<=", bound: 5 },
    ],
  },
  {
    text: "10 million runs in one file: opening, recovery, claim, finish, connect, lists and searches at most 1.5x those of 10 000 runs",
    conditions: [
      ...(["openMs", "recoveryMs", "claimColdMs", "finishColdMs", "claimMs", "finishMs"] as const),
      ...(["steadyClaimMs", "steadyFinishMs", "connectMs", "listMs", "deepListMs"] as const),
      ...(["searchMs", "twoWordsMs", "rareWordsMs"] as const),
    ].map(grown),
  },
  {
    text: "First event of a run while 100 000 runs are purged: p99 at most 2x that before",
    conditions: [
      {
        trial: "retention",
        x: 1,
        peer: "durable",
        figure: "firstEventP99Ms",
        is: "<=",
        bound: 2,
        against: { x: 0 },
      },
    ],
  },
];
