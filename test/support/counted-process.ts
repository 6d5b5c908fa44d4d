import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

interface Waiter {
  readonly line: string;
  readonly count: number;
  readonly resolve: (isSaid: boolean) => void;
}

/**
 * A process whose lines on stdout are counted. Its expected end is exit code 0, or SIGKILL after
 * `expectDeath`. Needs no vitest: commands use it too.
 */
export class CountedProcess {
  readonly name: string;
  /** Resolves when the process has ended, also when it failed. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #lines = new Map<string, number>();
  #waiting: Waiter[] = [];
  #stderr = "";
  #isGone = false;
  #isToDie = false;

  constructor(name: string, command: readonly string[], environment: Record<string, string>) {
    this.name = name;
    const [file = "", ...args] = command;
    this.#child = spawn(file, args, {
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
    this.exited = once(this.#child, "close").then(() => {
      this.#isGone = true;
      this.#answerWaiters();
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get alive(): boolean {
    return !this.#isGone;
  }

  /**
   * Resolves with true when the process has printed `line`, or lines that begin with this word, `count`
   * times in all. Resolves with false when the process ends before.
   */
  until(line: string, count = 1): Promise<boolean> {
    return new Promise((resolve) => {
      this.#waiting.push({ line, count, resolve });
      this.#answerWaiters();
    });
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Tells the process to begin no more runs. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  /** Makes SIGKILL the expected end. */
  expectDeath(): void {
    this.#isToDie = true;
  }

  /** Sends SIGKILL, and waits for the end. */
  async kill(): Promise<void> {
    if (this.alive) {
      this.expectDeath();
      this.#child.kill("SIGKILL");
    }
    await this.exited;
  }

  /** How it ended, and what was expected. Null when it ended as expected. Call this after its end. */
  get failure(): string | null {
    const { exitCode, signalCode } = this.#child;
    if (this.#isToDie ? signalCode === "SIGKILL" : exitCode === 0) return null;
    const expected = this.#isToDie ? "to be killed" : "exit code 0";
    const got = signalCode ?? `exit code ${exitCode}`;
    return `process ${this.name}: expected ${expected}, got ${got}; stderr: ${this.#stderr || "(empty)"}`;
  }

  #hear(line: string): void {
    const [word = ""] = line.split(" ");
    for (const said of new Set([line, word])) {
      this.#lines.set(said, this.#saidTimes(said) + 1);
    }
    this.#answerWaiters();
  }

  #saidTimes(line: string): number {
    return this.#lines.get(line) ?? 0;
  }

  #answerWaiters(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      const isSaid = this.#saidTimes(waiter.line) >= waiter.count;
      if (isSaid || this.#isGone) waiter.resolve(isSaid);
      else this.#waiting.push(waiter);
    }
  }
}
