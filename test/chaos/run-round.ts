import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Violation } from "./evidence.ts";
import type { ChaosStore, Fault } from "./faults.ts";
import { checkRound } from "./invariants.ts";
import type { ProcessHistory } from "./load-process.ts";
import { now } from "./log.ts";
import { isKept, runsIn } from "./runs.ts";
import type { StoreSnapshot } from "./snapshot.ts";

/** A round that takes longer counts as hanging. */
const DEADLINE_MS = 60_000;

export interface RoundResult {
  readonly violations: readonly Violation[];
  /** Runs whose agent began, and whose client saw them complete. */
  readonly completed: number;
  /** Runs whose agent began, and whose client did not see them complete. */
  readonly interrupted: number;
  /** What the fault proved, in a few words. */
  readonly detail: string;
  readonly ms: number;
  /** The directory of its files, if they were kept. */
  readonly directory: string | null;
}

export interface RoundOptions {
  readonly seed: number;
  readonly round: number;
  readonly keep: boolean;
}

/** One round: the fault, the end of the processes, and the check of what they stored. */
export async function runRound(
  store: ChaosStore,
  fault: Fault,
  options: RoundOptions,
): Promise<RoundResult> {
  const startedAt = now();
  const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-chaos-"));
  const round = await store.openRound(options.seed, options.round, directory);
  const dispose = () => {
    void round.dispose();
    rmSync(directory, { recursive: true, force: true });
  };
  // Ended early by the caller.
  process.once("exit", dispose);
  const snapshots: StoreSnapshot[] = [];
  const failure = await endsInTime(async () => {
    await fault.run(round);
    for (const child of round.processes) child.endInput();
    await Promise.all(round.processes.map((child) => child.exited));
    snapshots.push(await round.takeSnapshot());
    await round.startCheck().exited;
    snapshots.push(await round.takeSnapshot());
  });
  if (failure !== null) {
    const alive = round.processes.filter((child) => child.alive).map(({ name }) => name);
    const seen = alive.length === 0 ? failure : `${failure}; alive: ${alive.join(", ")}`;
    round.violations.push({ rule: "round-ends", expected: "the round to end", seen });
  }
  await round.dispose();
  await Promise.all(round.processes.map((child) => child.exited));
  const processes = round.processes.map((child) => child.history());
  const [before, after] = snapshots;
  const { expectations = {} } = fault;
  const checked =
    before === undefined || after === undefined
      ? processes.flatMap(failureOf)
      : await checkRound({ processes, before, after, expectations });
  const violations = [...round.violations, ...checked];
  process.off("exit", dispose);
  const kept = options.keep && violations.length > 0;
  if (!kept) rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  return {
    violations,
    ...countRuns(processes),
    detail: round.detail,
    ms: (now() - startedAt) / 1000,
    directory: kept ? directory : null,
  };
}

/** Why `work` failed or did not end in time, or null. */
async function endsInTime(work: () => Promise<void>): Promise<string | null> {
  const deadline = new AbortController();
  const { signal } = deadline;
  try {
    return await Promise.race([
      work().then(() => null),
      pause(DEADLINE_MS, `it did not end within ${DEADLINE_MS} ms`, { signal }),
    ]);
  } catch (error) {
    return error instanceof Error ? String(error.stack) : String(error);
  } finally {
    deadline.abort();
  }
}

function failureOf({ failure }: ProcessHistory): Violation[] {
  if (failure === null) return [];
  return [{ rule: "process-ends", expected: "a process that ends as told", seen: failure }];
}

function countRuns(processes: readonly ProcessHistory[]): {
  completed: number;
  interrupted: number;
} {
  const runs = runsIn(processes).filter(({ startedAt }) => startedAt !== null);
  const completed = runs.filter(isKept).length;
  return { completed, interrupted: runs.length - completed };
}
