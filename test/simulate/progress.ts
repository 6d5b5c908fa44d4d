import { ProgressBar } from "../support/fault-report.ts";

/** Between two lines, where there is no terminal. */
const LINE_EVERY_MS = 10_000;

interface Output {
  readonly print: (line: string) => void;
  readonly now: () => number;
}

/** How far a run of many schedules has come: a live bar on a terminal, elsewhere a line from time to time. */
export class Progress {
  readonly #schedules: number;
  readonly #output: Output;
  readonly #bar = new ProgressBar();
  readonly #startedAt: number;
  #printedAt: number;

  constructor(
    schedules: number,
    output: Output = { print: (line) => console.log(line), now: () => performance.now() },
  ) {
    this.#schedules = schedules;
    this.#output = output;
    this.#startedAt = output.now();
    this.#printedAt = this.#startedAt;
  }

  show({ schedules, failed }: { readonly schedules: number; readonly failed: readonly number[] }) {
    const now = this.#output.now();
    const seconds = (now - this.#startedAt) / 1000;
    const rate = Math.round(schedules / Math.max(seconds, 0.001));
    const numbers = failed.length === 0 ? "" : ` (${failed.join(", ")})`;
    const step = `${schedules} of ${this.#schedules} schedules, ${failed.length} failed${numbers}, ${rate} a second`;
    this.#bar.draw(schedules / this.#schedules, step);
    if (this.#bar.isLive || now - this.#printedAt < LINE_EVERY_MS) return;
    this.#printedAt = now;
    this.#output.print(`  ${step}`);
  }

  clear(): void {
    this.#bar.clear();
  }
}
