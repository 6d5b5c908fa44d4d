import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Fault } from "./faults.ts";
import { checkRound, type Violation } from "./invariants.ts";
import { LoadProcess, type ProcessHistory } from "./load-process.ts";
import { type LogRecord, now } from "./log.ts";
import type { Orders } from "./orders.ts";
import { Random } from "./random.ts";
import { runsIn } from "./runs.ts";
import { type StoreSnapshot, takeSnapshot } from "./snapshot.ts";

/** A round that takes longer hangs. */
const DEADLINE_MS = 30_000;
/** How long a fault point may take to be reached. */
const REACH_MS = 10_000;

export interface RoundResult {
  readonly violations: readonly Violation[];
  /** Runs whose client was told that they are complete. */
  readonly completed: number;
  /** Runs that began and were interrupted. */
  readonly interrupted: number;
  /** What the round did, in a few words. */
  readonly detail: string;
  readonly ms: number;
  /** Where its files are, if they were kept. */
  readonly directory: string | null;
}

/** What a fault works with: processes, seeded chance, and a way to say what it proved. */
export class Round {
  readonly random: Random;
  readonly directory: string;
  readonly cleanUp: (() => void)[] = [];
  readonly violations: Violation[] = [];
  dbPath: string;
  detail = "";
  readonly #seed: number;
  readonly #processes: LoadProcess[] = [];

  constructor(seed: number, number: number, directory: string) {
    this.random = new Random(seed, number);
    this.#seed = this.random.integer(0, 2 ** 31);
    this.directory = directory;
    this.dbPath = join(directory, "threads.db");
  }

  get processes(): readonly LoadProcess[] {
    return this.#processes;
  }

  /** Starts a process under load. */
  start(name: string, orders: Partial<Orders> = {}): LoadProcess {
    return this.#spawn("load.child.ts", name, orders);
  }

  /** Starts the process that looks at what is left. */
  startCheck(threadIds: readonly string[]): LoadProcess {
    return this.#spawn("check.child.ts", "check", { threadIds });
  }

  pause(minMs: number, maxMs: number): Promise<void> {
    return pause(this.random.integer(minMs, maxMs));
  }

  /** Waits until the process was killed by its own trap. */
  async untilKilledByTrap(child: LoadProcess): Promise<void> {
    child.expectDeath();
    await this.#within(child.exited);
    const { traps } = child.orders;
    if (child.alive) await child.kill();
    this.expectFaults(child, traps.length);
  }

  /** Waits until all of the process's traps have sprung. */
  async untilSprung(child: LoadProcess): Promise<void> {
    await this.#within(child.until("fault", child.orders.traps.length));
    this.expectFaults(child, child.orders.traps.length);
  }

  /** Waits, for a while, for something that the fault is to bring about. */
  async untilReached(what: Promise<void>): Promise<void> {
    await this.#within(what);
  }

  /** Proves that the fault points were reached. */
  expectFaults(child: LoadProcess, count: number): void {
    const faults = child.records().filter(({ what }) => what === "fault");
    if (faults.length >= count) return;
    const missing = child.orders.traps[faults.length];
    const point = missing === undefined ? "" : ` (${missing.when} ${missing.point})`;
    this.prove(false, `the fault point was never reached${point} in ${child.name}`);
  }

  /** A round whose fault did not happen shows nothing. */
  prove(happened: boolean, message: string): void {
    if (happened) return;
    this.violations.push({
      rule: "fault-happened",
      expected: "the fault to happen",
      seen: message,
    });
  }

  async #within(work: Promise<void>): Promise<void> {
    const timeout = new AbortController();
    const { signal } = timeout;
    await Promise.race([work, pause(REACH_MS, undefined, { signal }).catch(() => undefined)]);
    timeout.abort();
  }

  #spawn(
    script: "load.child.ts" | "check.child.ts",
    name: string,
    orders: Partial<Orders>,
  ): LoadProcess {
    const child = new LoadProcess(script, {
      name,
      seed: this.#seed,
      dbPath: this.dbPath,
      logPath: join(this.directory, `${name}.log`),
      threadIds: ["thread-0", "thread-1", "thread-2", "thread-3", "thread-4", "thread-5"],
      leaseMs: 15_000,
      lingerMs: this.random.pick([2, 5, 5, 20]),
      mix: "usual",
      traps: [],
      clockPath: null,
      busyTimeoutMs: null,
      workerHeapMb: null,
      ...orders,
    });
    this.#processes.push(child);
    return child;
  }
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
  mkdirSync(directory, { recursive: true });
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
  const completed = runs.filter((run) => run.completedAt !== null).length;
  return { completed, interrupted: runs.length - completed };
}

export type { LogRecord };
