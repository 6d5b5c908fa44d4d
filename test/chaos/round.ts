import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Random } from "../support/random.ts";
import { CHECK } from "./check-messages.ts";
import type { Violation } from "./evidence.ts";
import { LoadProcess } from "./load-process.ts";
import type { LogRecord } from "./log.ts";
import type { Orders } from "./orders.ts";
import type { StoreSnapshot } from "./snapshot.ts";

/** How long a fault point may take to be reached. */
const REACH_MS = 10_000;
/** Milliseconds between two looks at a log. */
const LOOK_MS = 20;

const pathOf = (script: string) => fileURLToPath(new URL(script, import.meta.url));

/** The tools of a fault: processes, a seeded random source, and a way to report proofs. */
export abstract class Round<O extends Orders = Orders> {
  readonly random: Random;
  readonly directory: string;
  readonly threadIds: readonly string[] = [0, 1, 2, 3, 4, 5].map((at) => `thread-${at}`);
  readonly violations: Violation[] = [];
  detail = "";
  readonly #seed: number;
  readonly #cleanUp: (() => void | Promise<void>)[] = [];
  #disposed = false;
  readonly #processes: LoadProcess<O>[] = [];

  constructor(seed: number, number: number, directory: string) {
    this.random = new Random(seed, number);
    this.#seed = this.random.integer(0, 2 ** 31);
    this.directory = directory;
  }

  /** Reads the store like another program, and changes nothing. */
  abstract takeSnapshot(): Promise<StoreSnapshot>;

  /** Adds the orders that only this store knows. */
  protected abstract ordersFor(common: Orders): O;

  /** The command that runs a script of the round. */
  protected commandOf(_orders: O, script: string): string[] {
    return [process.execPath, script];
  }

  /**
   * For how long the threads of a process that was killed may count as held, in milliseconds. 0 where the
   * kernel tells.
   */
  protected heldAfterDeathMs(_orders: O): number {
    return 0;
  }

  get processes(): readonly LoadProcess<O>[] {
    return this.#processes;
  }

  /** Has `undo` called at the end of the round, also after a failure. */
  onEnd(undo: () => void | Promise<void>): void {
    this.#cleanUp.push(undo);
  }

  /** Starts a process under load. */
  start(name: string, orders: Partial<O> = {}): LoadProcess<O> {
    return this.#spawn("load.child.ts", name, orders);
  }

  /** Starts the process that checks the store. */
  startCheck(): LoadProcess<O> {
    const threadIds = [...new Set(this.#processes.flatMap(({ orders }) => orders.threadIds))];
    return this.#spawn("check.child.ts", CHECK, { threadIds });
  }

  pause(minMs: number, maxMs: number): Promise<void> {
    return pause(this.random.integer(minMs, maxMs));
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
  async untilReached(what: Promise<unknown>): Promise<void> {
    const timeout = new AbortController();
    const { signal } = timeout;
    await Promise.race([what, pause(REACH_MS, undefined, { signal }).catch(() => undefined)]);
    timeout.abort();
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

  /** Kills all processes of the round, and undoes everything else that it had set up. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    for (const child of this.#processes) void child.kill();
    await Promise.all(this.#cleanUp.splice(0).map((undo) => undo()));
  }

  #spawn(
    script: "load.child.ts" | "check.child.ts",
    name: string,
    orders: Partial<O> | Pick<Orders, "threadIds">,
  ): LoadProcess<O> {
    if (this.#disposed) throw new Error("the round is over");
    const common = this.ordersFor({
      name,
      seed: this.#seed,
      logPath: join(this.directory, `${name}.log`),
      threadIds: this.threadIds,
      leaseMs: 15_000,
      lateThreadIds: [],
      // Each process has a random source of its own, since processes may be started in any order.
      lingerMs: new Random(this.#seed, name).pick([2, 5, 5, 20]),
      onConcurrentRun: "reject",
      runIds: null,
      mix: "usual",
      stopsOthers: false,
      shyMs: 0,
    });
    const given = { ...common, ...orders };
    const command = this.commandOf(given, pathOf(script));
    const child = new LoadProcess(given, command, this.heldAfterDeathMs(given));
    this.#processes.push(child);
    return child;
  }
}
