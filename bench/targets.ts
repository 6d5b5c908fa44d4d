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
   * The figure to compare with: the same figure, except for the fields given here. Without this, the
   * median of the figure itself is compared with the bound.
   */
  readonly against?: Partial<FigureRef>;
  /** What is compared with the bound: the ratio of the two (default), or their difference. */
  readonly how?: "ratio" | "difference";
}

export interface Target {
  readonly text: string;
  readonly conditions: readonly Condition[];
}

const load = { trial: "throughput", x: TYPICAL_THREADS, peer: "durable" } as const;
const client = { trial: "client-pipeline", x: TYPICAL_THREADS, peer: "durable" } as const;
const pace = { trial: "model-pace", x: 1000, peer: "durable" } as const;
const threads = { trial: "threads", x: 100_000, peer: "durable" } as const;
const folded = { trial: "connect-folded", x: 2000, peer: "durable" } as const;
const connect = { trial: "connect", x: 2000, peer: "durable" } as const;

const postgres = { trial: "postgres", x: 1 } as const;

/** The targets of this runner on two cores. Ratios are between peers of one run of the harness. */
export const TARGETS: readonly Target[] = [
  {
    text: "Durable runs/s, 200 threads, 24 events, the runner's own cost: at least 50x synchronous, 0.6x InMemoryAgentRunner, 0.3x limit",
    conditions: [
      { ...load, figure: "runsPerSecond", is: ">=", bound: 50, against: { peer: "synchronous" } },
      { ...load, figure: "runsPerSecond", is: ">=", bound: 0.6, against: { peer: "in-memory" } },
      { ...load, figure: "runsPerSecond", is: ">=", bound: 0.3, against: { peer: "limit" } },
    ],
  },
  {
    text: "The same through the client's pipeline: at least 0.85x InMemoryAgentRunner",
    conditions: [
      { ...client, figure: "runsPerSecond", is: ">=", bound: 0.85, against: { peer: "in-memory" } },
    ],
  },
  {
    text: "Event-loop delay under that load: p99 at most InMemoryAgentRunner's + 1 ms, max at most 15 ms",
    conditions: [
      {
        ...load,
        figure: "loopDelayP99Ms",
        is: "<=",
        bound: 1,
        against: { peer: "in-memory" },
        how: "difference",
      },
      { ...load, figure: "loopDelayMaxMs", is: "<=", bound: 15 },
    ],
  },
  {
    text: "1000 threads at 50 events/s each: no growing lag, loop delay p99 at most 10 ms beyond the same without a runner",
    conditions: [
      // A slow runner reduces its own load, because each thread waits for its last run.
      {
        ...pace,
        figure: "eventsPerSecond",
        is: ">=",
        bound: 0.95,
        against: { peer: "no-runner" },
      },
      // The quarters differ a little even if the queue does not grow. A runner that cannot keep up is
      // late by seconds after 20 s.
      { ...pace, figure: "lagGrowthMs", is: "<=", bound: 50 },
      {
        ...pace,
        figure: "loopDelayP99Ms",
        is: "<=",
        bound: 10,
        against: { peer: "no-runner" },
        how: "difference",
      },
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
    text: "One thread, one run after another: at least 3x synchronous",
    conditions: [
      {
        ...load,
        x: 1,
        figure: "runsPerSecond",
        is: ">=",
        bound: 3,
        against: { peer: "synchronous" },
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
