import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { CountedProcess } from "../support/counted-process.ts";
import type { RunIds } from "./agents.ts";
import { type LogRecord, now, readLog } from "./log.ts";
import { OPEN_SECOND_RUNNER, type Orders, ordersInEnvironment } from "./orders.ts";

/** A child of a round, from its start to its end. */
export interface ProcessHistory {
  readonly name: string;
  readonly records: readonly LogRecord[];
  readonly startedAt: number;
  readonly endedAt: number;
  /** When it was killed, by its parent or by itself. */
  readonly killedAt: number | null;
  readonly absences: readonly Absence[];
  /** For how long after its death its threads may count as held, in milliseconds. */
  readonly heldAfterDeathMs: number;
  /** How it ended, and what was expected. Null when it ended as expected. */
  readonly failure: string | null;
}

/** Time in which a process could not reach the store: suspended, or cut off from it. */
export interface Absence {
  readonly from: number;
  to: number;
}

/** Whether every thread of a process is stopped, where the system tells. */
function hasStopped(pid: number | undefined): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  return readdirSync(tasks).every((task) => stateOf(`${tasks}/${task}`) === "T");
}

function stateOf(task: string): string | undefined {
  try {
    // proc(5): the state follows the command, which is in parentheses.
    return /.*\) (.)/.exec(readFileSync(`${task}/stat`, "utf8"))?.[1];
  } catch (error) {
    if (existsSync(task)) throw error;
    // A thread has ended meanwhile: look again.
    return undefined;
  }
}

/** A real process, and the actions on it. */
export class LoadProcess<O extends Orders = Orders> {
  readonly orders: O;
  readonly #heldAfterDeathMs: number;
  readonly #process: CountedProcess;
  readonly #startedAt = now();
  readonly #absences: Absence[] = [];
  #endedAt = 0;
  #killedAt: number | null = null;

  constructor(orders: O, command: readonly string[], heldAfterDeathMs: number) {
    this.orders = orders;
    this.#heldAfterDeathMs = heldAfterDeathMs;
    this.#process = new CountedProcess(orders.name, command, ordersInEnvironment(orders));
    void this.exited.then(() => {
      this.#endedAt = now();
    });
  }

  get name(): string {
    return this.orders.name;
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  /** Resolves when the child has printed `line` that often in all, or has ended. */
  async until(line: string, count = 1): Promise<void> {
    await this.#process.until(line, count);
  }

  /** Resolves when it has ended. */
  get exited(): Promise<void> {
    return this.#process.exited;
  }

  /** Expects that its traps kill it. */
  expectDeath(): void {
    this.#process.expectDeath();
  }

  async kill(): Promise<void> {
    if (this.alive) this.#killedAt = now();
    await this.#process.kill();
  }

  /** SIGSTOP. Resolves when all threads have stopped: the kernel stops them one after another. */
  async halt(): Promise<void> {
    this.beginAbsence();
    this.#process.signal("SIGSTOP");
    while (this.alive && !hasStopped(this.#process.pid)) await pause(1);
  }

  /** SIGCONT. */
  wake(): void {
    this.endAbsence();
    this.#process.signal("SIGCONT");
  }

  /** Notes that it cannot reach the store from here on. */
  beginAbsence(): void {
    this.#absences.push({ from: now(), to: Number.POSITIVE_INFINITY });
  }

  endAbsence(): void {
    const absence = this.#absences.at(-1);
    if (absence !== undefined) absence.to = now();
  }

  /** Has it start a run that another process was asked for before. */
  retry(run: RunIds): void {
    this.#process.tell(JSON.stringify(run));
  }

  /** Has it open the store with a second runner. It prints "second-runner" then. */
  openSecondRunner(): void {
    this.#process.tell(OPEN_SECOND_RUNNER);
  }

  /** Tells it to begin no more runs. */
  endInput(): void {
    this.#process.endInput();
  }

  /** What it has logged so far. */
  records(): LogRecord[] {
    return readLog(this.orders.logPath);
  }

  /** Call this after its end. */
  history(): ProcessHistory {
    const records = this.records();
    const own = records.findLast(
      (record) => record.what === "fault" && record.fault.startsWith("kill"),
    );
    return {
      name: this.name,
      records,
      startedAt: this.#startedAt,
      endedAt: this.#endedAt,
      killedAt: this.#killedAt ?? own?.at ?? null,
      absences: this.#absences,
      heldAfterDeathMs: this.#heldAfterDeathMs,
      failure: this.#process.failure,
    };
  }
}
