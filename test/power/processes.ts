import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const pathOf = (script: string): string => fileURLToPath(new URL(script, import.meta.url));

interface Waiter {
  readonly line: string;
  readonly count: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A process of a recording. Waits for its output, and checks how it ends. */
export class RecordedProcess {
  readonly name: string;
  /** Resolves when the process has ended. Rejects when it ended in an unexpected way. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #lines = new Map<string, number>();
  #waiting: Waiter[] = [];
  #isToDie = false;
  #stderr = "";

  constructor(name: string, args: readonly string[], environment: Record<string, string>) {
    this.name = name;
    this.#child = spawn(process.execPath, args, {
      env: { ...process.env, ...environment },
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
    this.exited = once(this.#child, "close").then(() => this.#end());
    this.exited.catch(() => undefined);
  }

  /** Resolves when it has printed `line` that often in all. */
  until(line: string, count = 1): Promise<void> {
    if ((this.#lines.get(line) ?? 0) >= count) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, count, resolve, reject });
    });
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Tells it to begin no more runs, and waits for its end. */
  async finish(): Promise<void> {
    this.#child.stdin?.end();
    await this.exited;
  }

  async kill(): Promise<void> {
    this.#isToDie = true;
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  #hear(line: string): void {
    const count = (this.#lines.get(line) ?? 0) + 1;
    this.#lines.set(line, count);
    const isDue = (waiter: Waiter) => waiter.line === line && waiter.count <= count;
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((waiter) => !isDue(waiter));
    for (const { resolve } of due) resolve();
  }

  #end(): void {
    const { exitCode, signalCode } = this.#child;
    const isGood = this.#isToDie ? signalCode === "SIGKILL" : exitCode === 0;
    const how = `${this.name} ended with ${signalCode ?? exitCode}: ${this.#stderr || "(no stderr)"}`;
    for (const { reject, line } of this.#waiting.splice(0)) {
      reject(new Error(`never said "${line}"; ${how}`));
    }
    if (!isGood) throw new Error(how);
  }
}
