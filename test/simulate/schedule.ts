import { Random } from "../support/random.ts";
import type { Fault } from "./faults.ts";
import { type Action, type AgentPlan, LEASE_MS, type Plan } from "./plan.ts";

/** Few, so that what clients do collides. */
const THREADS = ["t1", "t2"];
const RUN_IDS = ["r1", "r2"];
/** All that clients and faults do begins within this time. */
const LENGTH_MS = 1500;

/** A schedule: what its clients and its faults do, by the seed and the number. */
export function planSchedule(seed: number, number: number, faults: readonly Fault[]): Plan {
  const random = new Random(seed, number);
  const processes = Array.from({ length: random.pick([1, 2, 2, 2, 3]) }, () => ({
    onConcurrentRun: random.pick(["throw", "reject", "supersede", "enqueue"] as const),
    lingerMs: random.pick([0, 5, 50]),
    maxBatchBytes: random.pick([1, 300, 1024 * 1024]),
    opensAt: random.chance(0.7) ? random.integer(0, LEASE_MS / 3) : null,
  }));
  const threads = THREADS.slice(0, random.integer(1, THREADS.length));
  const lengthMs = random.pick([20, 200, LENGTH_MS]);
  const place = () => ({
    at: random.integer(0, lengthMs),
    on: random.integer(0, processes.length - 1),
  });
  const actions: Action[] = [];
  for (let count = random.integer(3, 12); count > 0; count--) {
    actions.push(...planCall(random, place(), threads));
  }
  // Some schedules have no fault at all: what clients do at one time is enough.
  if (random.chance(0.9)) {
    const kinds = random.chance(0.5) ? [random.pick(faults)] : faults;
    for (let count = random.integer(1, 4); count > 0; count--) {
      actions.push(random.pick(kinds).make(random, { ...place(), threads }));
    }
  }
  return { processes, actions: actions.sort((a, b) => a.at - b.at) };
}

type Place = Pick<Action, "at" | "on">;

function planCall(random: Random, place: Place, threads: readonly string[]): Action[] {
  const threadId = random.pick(threads);
  const kind = random.pick(["run", "run", "run", "connect", "connect", "stop", "ask"] as const);
  switch (kind) {
    case "run": {
      const runId = random.pick(RUN_IDS);
      const run: Action = { kind, ...place, threadId, runId, agent: planAgent(random) };
      // A client that has no answer sends its request again.
      return random.chance(0.2) ? [run, { ...run, at: run.at + random.integer(0, 30) }] : [run];
    }
    case "connect": {
      const leavesAfter = random.chance(0.2) ? random.integer(0, 5) : null;
      return [{ kind, ...place, threadId, leavesAfter }];
    }
    case "stop":
      return [
        { kind, ...place, threadId, runId: random.chance(0.5) ? random.pick(RUN_IDS) : null },
      ];
    case "ask":
      return [{ kind, ...place, threadId }];
  }
}

function planAgent(random: Random): AgentPlan {
  return {
    pieces: random.integer(0, 6),
    gapMs: random.pick([0, 1, 7, 30, 120, LEASE_MS / 2]),
    ending: random.pick([
      "finishes",
      "finishes",
      "finishes",
      "finishes",
      "throws",
      "says nothing more",
      "waits to be aborted",
    ] as const),
    isDeaf: random.chance(0.15),
  };
}
