import type { Random } from "../support/random.ts";
import { type Action, LEASE_MS } from "./plan.ts";

/** Faults of one kind: what is added to what the clients of a schedule do. */
export interface Fault {
  readonly name: string;
  readonly what: string;
  readonly make: (random: Random, context: FaultContext) => Action;
}

export interface FaultContext {
  readonly at: number;
  readonly on: number;
  readonly threads: readonly string[];
}

/** Some are over soon; some last longer than a lease, and longer than the write path waits before it says so. */
function lasting(random: Random): number {
  return random.pick([1, 5, 20, 100, LEASE_MS / 2, LEASE_MS * 1.5, LEASE_MS * 4, 7000]);
}

const ALL_CALLS = 1e6;

const delays = (random: Random) => random.pick([1, 3, 10, 40, 200, LEASE_MS * 0.75]);

export const FAULTS: readonly Fault[] = [
  {
    name: "answers",
    what: "answers that come late, never, or as errors, of a commit, a read, a look, a notice",
    make: (random, { at, on }) => ({
      kind: "trouble",
      ...{ at, on },
      call: random.pick(["commit", "commit", "read", "look", "notice"] as const),
      how: random.pick(["slow", "late", "lost", "lost", "fails"] as const),
      ms: lasting(random),
      byMs: delays(random),
      calls: random.pick([1, 2, ALL_CALLS]),
    }),
  },
  {
    name: "kills",
    what: "processes that are killed, seen by the kernel or not, and started again",
    make: (random, { at, on }) => ({
      kind: "kill",
      ...{ at, on },
      isSeen: random.chance(0.5),
      restartAfterMs: random.pick([1, 50, 500, LEASE_MS * 2]),
    }),
  },
  {
    name: "pauses",
    what: "processes that stand still for a while",
    make: (random, { at, on }) => ({ kind: "pause", ...{ at, on }, ms: lasting(random) }),
  },
  {
    name: "closes",
    what: "processes that close their runner, and are started again",
    make: (random, { at, on }) => ({
      kind: "close",
      ...{ at, on },
      restartAfterMs: random.pick([1, 50, 500]),
    }),
  },
  {
    name: "outages",
    what: "a database to which nobody can write for a while",
    make: (random, { at, on }) => ({ kind: "outage", ...{ at, on }, ms: lasting(random) }),
  },
  {
    name: "syncs",
    what: "syncs that fail, or take long",
    make: (random, { at, on }) => ({
      kind: "trouble",
      ...{ at, on },
      call: "sync",
      how: random.pick(["slow", "fails"] as const),
      ms: lasting(random),
      byMs: delays(random),
      calls: random.pick([1, 2, ALL_CALLS]),
    }),
  },
  {
    name: "writer-deaths",
    what: "the thread that writes ends in the middle of a batch",
    make: (random, { at, on }) => ({ kind: "writer death", ...{ at, on }, ms: lasting(random) }),
  },
  {
    name: "unstorable-runs",
    what: "runs whose end can never be stored",
    make: (random, { at, on, threads }) => ({
      kind: "unstorable",
      ...{ at, on },
      threadId: random.pick(threads),
      ms: lasting(random),
    }),
  },
  {
    name: "lost-rows",
    what: "a restored backup that does not know of a process",
    make: (_, { at, on }) => ({ kind: "lost row", ...{ at, on } }),
  },
];
