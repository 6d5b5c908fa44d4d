import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { ImageJob, ImageVerdict } from "./facts.ts";
import { pathOf } from "./processes.ts";

/** A process that checks images, one at a time. */
class Checker {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #input: Interface;

  constructor(library: string) {
    this.#child = spawn(process.execPath, [pathOf("check.child.ts")], {
      // A checked image is thrown away, so its syncs would only take time.
      env: { ...process.env, LD_PRELOAD: library, POWER_NO_SYNC: "1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error("no pipes");
    this.#input = createInterface({ input: stdout });
    this.#lines = this.#input[Symbol.asyncIterator]();
  }

  async check(job: ImageJob): Promise<ImageVerdict> {
    this.#child.stdin?.write(`${JSON.stringify(job)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("a process that checks images has died");
    return JSON.parse(value as string) as ImageVerdict;
  }

  end(): void {
    this.#child.kill("SIGKILL");
    this.#input.close();
  }
}

/** Several checkers. */
export class Checkers {
  readonly #all: readonly Checker[];
  readonly #idle: Checker[];
  readonly #waiting: ((checker: Checker) => void)[] = [];

  constructor(library: string, count: number) {
    this.#all = Array.from({ length: count }, () => new Checker(library));
    this.#idle = [...this.#all];
  }

  /** Resolves when a checker is idle, with a function that has it check an image. */
  async next(): Promise<(job: ImageJob) => Promise<ImageVerdict>> {
    const checker =
      this.#idle.pop() ?? (await new Promise<Checker>((take) => this.#waiting.push(take)));
    return async (job) => {
      const verdict = await checker.check(job);
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#idle.push(checker);
      else waiting(checker);
      return verdict;
    };
  }

  end(): void {
    for (const checker of this.#all) checker.end();
  }
}
