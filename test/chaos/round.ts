import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Random } from "../support/random.ts";
import type { Violation } from "./evidence.ts";
import { LoadProcess } from "./load-process.ts";
import type { LogRecord } from "./log.ts";
import type { Orders } from "./orders.ts";

/** How long a fault point may take to be reached. */
const REACH_MS = 10_000;
/** Milliseconds between two looks at a log. */
const LOOK_MS = 20;

/** The tools of a fault: processes, a seeded random source, and a way to report proofs. */
export class Round {
  readonly random: Random;
  readonly directory: string;
  readonly threadIds: readonly string[] = [0, 1, 2, 3, 4, 5].map((at) => `thread-${at}`);
  readonly violations: Violation[] = [];
  dbPath: string;
  detail = "";
  readonly #seed: number;
  readonly #cleanUp: (() => void)[] = [];
  #disposed = false;
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

  /** Has `undo` called at the end of the round, also after a failure. */
  onEnd(undo: () => void): void {
    this.#cleanUp.push(undo);
  }

  /** Starts a process under load. */
  start(name: string, orders: Partial<Orders> = {}): LoadProcess {
    return this.#spawn("load.child.ts", name, orders);
  }

  /** Starts the process that checks the file. */
  startCheck(): LoadProcess {
    const threadIds = [...new Set(this.#processes.flatMap(({ orders }) => orders.threadIds))];
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
    const { traps } = child.orders;
    await this.untilLogged(child, (records) => faultsIn(records) >= traps.length);
    this.expectFaults(child, traps.length);
  }

  /** Waits until the child's log fulfils `test`. False when it does not in time. */
  async untilLogged(
    child: LoadProcess,
    test: (records: readonly LogRecord[]) => boolean,
    withinMs = REACH_MS,
  ): Promise<boolean> {
    const until = performance.now() + withinMs;
    while (!test(child.records())) {
      if (!child.alive || performance.now() > until) return test(child.records());
      await pause(LOOK_MS);
    }
    return true;
  }

  /** Waits for an effect of the fault, up to a time limit. */
  async untilReached(what: Promise<void>): Promise<void> {
    await this.#within(what);
  }

  /** Notes the proof that the fault points were reached. */
  expectFaults(child: LoadProcess, count: number): void {
    const happened = faultsIn(child.records());
    if (happened >= count) return;
    const missing = child.orders.traps[happened];
    const point = missing === undefined ? "" : ` (${missing.when} ${missing.point})`;
    this.prove(false, `the fault point was never reached${point} in ${child.name}`);
  }

  /** A round whose fault did not happen proves nothing. */
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

  /** Kills all processes of the round, and undoes everything else that it had set up. */
  dispose(): void {
    this.#disposed = true;
    for (const child of this.#processes) void child.kill();
    for (const undo of this.#cleanUp.splice(0)) undo();
  }

  #spawn(
    script: "load.child.ts" | "check.child.ts",
    name: string,
    orders: Partial<Orders>,
  ): LoadProcess {
    if (this.#disposed) throw new Error("the round is over");
    const child = new LoadProcess(script, {
      name,
      seed: this.#seed,
      dbPath: this.dbPath,
      logPath: join(this.directory, `${name}.log`),
      threadIds: this.threadIds,
      leaseMs: 15_000,
      lateThreadIds: [],
      // Each process has a random source of its own, since processes may be started in any order.
      lingerMs: new Random(this.#seed, name).pick([2, 5, 5, 20]),
      onConcurrentRun: "reject",
      runIds: null,
      mix: "usual",
      traps: [],
      clockPath: null,
      busyTimeoutMs: null,
      shyMs: 0,
      newPidNamespace: false,
      workerHeapMb: null,
      failedSyncs: [],
      ...orders,
    });
    this.#processes.push(child);
    return child;
  }
}

function faultsIn(records: readonly LogRecord[]): number {
  return records.filter(({ what }) => what === "fault").length;
}
