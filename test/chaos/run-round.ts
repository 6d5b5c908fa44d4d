import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Violation } from "./evidence.ts";
import type { Fault } from "./faults.ts";
import { checkRound } from "./invariants.ts";
import type { ProcessHistory } from "./load-process.ts";
import { now } from "./log.ts";
import { Round } from "./round.ts";
import { isKept, runsIn } from "./runs.ts";
import { type StoreSnapshot, takeSnapshot } from "./snapshot.ts";

/** A round that takes longer hangs. */
const DEADLINE_MS = 30_000;

export interface RoundResult {
  readonly violations: readonly Violation[];
  /** Runs whose agent began, and whose client was told that they are complete. */
  readonly completed: number;
  /** Runs whose agent began, and of which no client was told so. */
  readonly interrupted: number;
  /** What the round did, in a few words. */
  readonly detail: string;
  readonly ms: number;
  /** Where its files are, if they were kept. */
  readonly directory: string | null;
}

export interface RoundOptions {
  readonly seed: number;
  readonly round: number;
  readonly keep: boolean;
}

/** One round: the fault, the processes' end, and what is left afterwards. */
export async function runRound(fault: Fault, options: RoundOptions): Promise<RoundResult> {
  const startedAt = now();
  const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-chaos-"));
  const round = new Round(options.seed, options.round, directory);
  let before: StoreSnapshot | null = null;
  let after: StoreSnapshot | null = null;
  const work = async () => {
    await fault.run(round);
    for (const child of round.processes) child.endInput();
    await Promise.all(round.processes.map((child) => child.exited));
    before = takeSnapshot(round.dbPath);
    const check = round.startCheck(threadsOf(round));
    await check.exited;
    after = takeSnapshot(round.dbPath);
  };
  const deadline = new AbortController();
  const { signal } = deadline;
  const outcome = await Promise.race([
    work().then(
      () => null,
      (error: unknown) =>
        `the round itself failed: ${error instanceof Error ? error.stack : error}`,
    ),
    pause(DEADLINE_MS, undefined, { signal }).then(
      () => `the round did not end within ${DEADLINE_MS} ms`,
      () => null,
    ),
  ]);
  deadline.abort();
  if (outcome !== null) {
    const alive = round.processes.filter((child) => child.alive).map(({ name }) => name);
    const seen = alive.length === 0 ? outcome : `${outcome}; alive: ${alive.join(", ")}`;
    round.violations.push({ rule: "round-ends", expected: "the round to end", seen });
  }
  await Promise.all(round.processes.map((child) => child.kill()));
  const processes = round.processes.map((child) => child.history());
  const checked =
    before !== null && after !== null
      ? await checkRound({ processes, before, after, expectations: fault.expectations ?? {} })
      : processes.flatMap(failureOf);
  const violations = [...round.violations, ...checked];
  for (const undo of round.cleanUp) undo();
  const kept = options.keep && violations.length > 0;
  if (!kept) rmSync(directory, { recursive: true, force: true });
  return {
    violations,
    ...countRuns(processes),
    detail: round.detail,
    ms: (now() - startedAt) / 1000,
    directory: kept ? directory : null,
  };
}

function failureOf({ failure }: ProcessHistory): Violation[] {
  if (failure === null) return [];
  return [{ rule: "process-ends", expected: "a process that ends as told", seen: failure }];
}

function threadsOf(round: Round): string[] {
  return [...new Set(round.processes.flatMap(({ orders }) => orders.threadIds))];
}

function countRuns(processes: readonly ProcessHistory[]): {
  completed: number;
  interrupted: number;
} {
  const runs = runsIn(processes).filter(({ startedAt }) => startedAt !== null);
  const completed = runs.filter(isKept).length;
  return { completed, interrupted: runs.length - completed };
}
