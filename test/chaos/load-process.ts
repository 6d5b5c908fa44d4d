import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { RunIds } from "./agents.ts";
import { type LogRecord, now, readLog } from "./log.ts";
import { NEW_PID_NAMESPACE } from "./namespaces.ts";
import { OPEN_SECOND_RUNNER, type Orders, ordersInEnvironment } from "./orders.ts";

const PRELOAD = new URL("preload.ts", import.meta.url).href;
const pathOf = (script: string) => fileURLToPath(new URL(script, import.meta.url));

/** A child of a round, from its start to its end. */
export interface ProcessHistory {
  readonly name: string;
  readonly records: readonly LogRecord[];
  readonly startedAt: number;
  readonly endedAt: number;
  /** When it was killed, by its parent or by itself. */
  readonly killedAt: number | null;
  readonly stops: readonly Stop[];
  /** How it ended, and what was expected. Null when it ended as expected. */
  readonly failure: string | null;
}

/** From SIGSTOP to SIGCONT. */
export interface Stop {
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
export class LoadProcess {
  readonly orders: Orders;
  readonly #child: ChildProcess;
  readonly #startedAt = now();
  readonly #exited: Promise<void>;
  readonly #stops: Stop[] = [];
  readonly #lines = new Map<string, number>();
  #waiting: { readonly line: string; readonly count: number; readonly resolve: () => void }[] = [];
  #stderr = "";
  #endedAt = 0;
  #killedAt: number | null = null;
  #isToDie = false;

  constructor(script: "load.child.ts" | "check.child.ts", orders: Orders) {
    this.orders = orders;
    const node = [process.execPath, "--import", PRELOAD, pathOf(script)] as const;
    const [command, ...args] = orders.newPidNamespace ? [...NEW_PID_NAMESPACE, ...node] : node;
    this.#child = spawn(command, args, {
      env: { ...process.env, ...ordersInEnvironment(orders) },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdout, stderr, stdin } = this.#child;
    if (stdout === null || stderr === null || stdin === null) throw new Error("no pipes");
    // A child that is killed does not read what it is sent.
    stdin.on("error", () => undefined);
    stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#stderr += chunk;
    });
    createInterface({ input: stdout }).on("line", (line) => this.#hear(line));
    this.#exited = once(this.#child, "close").then(() => {
      this.#endedAt = now();
      this.#wake();
    });
  }

  get name(): string {
    return this.orders.name;
  }

  get alive(): boolean {
    return this.#endedAt === 0;
  }

  /** Resolves when the child has printed `line` that often in all, or has ended. */
  until(line: string, count = 1): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ line, count, resolve });
      this.#wake();
    });
  }

  /** Resolves when it has ended. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  /** Expects that its traps kill it. */
  expectDeath(): void {
    this.#isToDie = true;
  }

  async kill(): Promise<void> {
    if (this.alive) {
      this.#isToDie = true;
      this.#killedAt = now();
      this.#child.kill("SIGKILL");
    }
    await this.#exited;
  }

  /** SIGSTOP. Resolves when all threads have stopped: the kernel stops them one after another. */
  async halt(): Promise<void> {
    this.#stops.push({ from: now(), to: Number.POSITIVE_INFINITY });
    this.#child.kill("SIGSTOP");
    while (this.alive && !hasStopped(this.#child.pid)) await pause(1);
  }

  /** SIGCONT. */
  wake(): void {
    const stop = this.#stops.at(-1);
    if (stop !== undefined) stop.to = now();
    this.#child.kill("SIGCONT");
  }

  /** Has it start a run that another process was asked for before. */
  retry(run: RunIds): void {
    this.#child.stdin?.write(`${JSON.stringify(run)}\n`);
  }

  /** Has it open the file with a second runner. It prints "second-runner" then. */
  openSecondRunner(): void {
    this.#child.stdin?.write(`${OPEN_SECOND_RUNNER}\n`);
  }

  /** Tells it to begin no more runs. */
  endInput(): void {
    this.#child.stdin?.end();
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
      stops: this.#stops,
      failure: this.#failure(),
    };
  }

  #failure(): string | null {
    const { exitCode, signalCode } = this.#child;
    if (this.#isToDie ? signalCode === "SIGKILL" : exitCode === 0) return null;
    const expected = this.#isToDie ? "to be killed" : "exit code 0";
    const got = signalCode ?? `exit code ${exitCode}`;
    return `process ${this.name}: expected ${expected}, got ${got}; stderr: ${this.#stderr || "(empty)"}`;
  }

  #hear(line: string): void {
    this.#lines.set(line, (this.#lines.get(line) ?? 0) + 1);
    const [word] = line.split(" ");
    if (word !== undefined && word !== line)
      this.#lines.set(word, (this.#lines.get(word) ?? 0) + 1);
    this.#wake();
  }

  #wake(): void {
    const isDue = ({ line, count }: { line: string; count: number }) =>
      !this.alive || (this.#lines.get(line) ?? 0) >= count;
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((waiter) => !isDue(waiter));
    for (const { resolve } of due) resolve();
  }
}
