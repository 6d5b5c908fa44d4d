import { fileURLToPath } from "node:url";
import { CountedProcess } from "../support/counted-process.ts";

export const pathOf = (script: string): string => fileURLToPath(new URL(script, import.meta.url));

/** A process of a recording. Waits for its output, and checks how it ends. */
export class RecordedProcess {
  readonly #process: CountedProcess;

  constructor(name: string, args: readonly string[], environment: Record<string, string>) {
    this.#process = new CountedProcess(name, [process.execPath, ...args], environment);
  }

  /** Resolves when it has printed `line` that often in all. Rejects when it ends before. */
  async until(line: string, count = 1): Promise<void> {
    if (await this.#process.until(line, count)) return;
    const { name, failure } = this.#process;
    throw new Error(`${name} ended and never said "${line}"; ${failure ?? "it exited with 0"}`);
  }

  tell(line: string): void {
    this.#process.tell(line);
  }

  /** Tells it to begin no more runs, and waits for its end. Rejects when it failed. */
  async finish(): Promise<void> {
    this.#process.endInput();
    await this.#process.exited;
    this.#check();
  }

  /** Rejects when it had failed before. */
  async kill(): Promise<void> {
    await this.#process.kill();
    this.#check();
  }

  #check(): void {
    const { failure } = this.#process;
    if (failure !== null) throw new Error(failure);
  }
}
