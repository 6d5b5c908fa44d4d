import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { UNOWNED } from "../../src/protocol/scope.ts";
import type { ActiveRun } from "../../src/runner/active-run.ts";
import { ThreadRuns } from "../../src/runner/thread-runs.ts";

const MANY = 30_000;
/** More than a run costs that has its turn and ends, and few beside a search through the others. */
const READS_PER_RUN = 20;

/** How often anything of any run was read. */
let reads = 0;

/** What the book-keeping needs of a run, with each read counted: a search reads each run that it passes. */
class FakeRun {
  readonly threadId = "t";
  readonly runId: string;
  readonly resourceId = null;
  isActive = true;

  constructor(at: number) {
    this.runId = `r${at}`;
  }

  async start(): Promise<void> {}
}

const countReads = (run: FakeRun): FakeRun =>
  new Proxy(run, {
    get(target, name) {
      reads++;
      return Reflect.get(target, name);
    },
  });

function queue(length: number) {
  const threads = new ThreadRuns();
  const runs = Array.from({ length }, (_, at) => countReads(new FakeRun(at)));
  for (const run of runs) threads.add(run as unknown as ActiveRun);
  const end = (run: FakeRun) => {
    run.isActive = false;
    threads.onSettled(run as unknown as ActiveRun);
    threads.onEnded(run as unknown as ActiveRun);
  };
  return { threads, runs, end };
}

describe("tens of thousands of waiting runs on one thread are not searched", () => {
  test("when each of them gets its turn, while a client waits for the last run", async () => {
    const { threads, runs, end } = queue(MANY);
    reads = 0;
    const idle = threads.idle();
    for (const run of runs) {
      expect(threads.current("t", UNOWNED)).toBe(run);
      end(run);
    }
    await idle;
    expect(reads).toBeLessThan(READS_PER_RUN * MANY);
    expect(threads.current("t", UNOWNED)).toBeNull();
    expect(threads.activeCount).toBe(0);
  });

  test("when all of them are refused, the last run first", () => {
    const { threads, runs, end } = queue(MANY);
    reads = 0;
    for (const run of runs.toReversed()) end(run);
    expect(reads).toBeLessThan(READS_PER_RUN * MANY);
    expect(threads.activeCount).toBe(0);
    expect(threads.open("t", UNOWNED)).toEqual([]);
  });

  test("when somebody connects", () => {
    const { threads, runs } = queue(MANY);
    reads = 0;
    expect(threads.open("t", UNOWNED)).toHaveLength(1);
    expect(reads).toBe(0);
    expect(threads.open("t", UNOWNED)[0]).toBe(runs[0]);
  });
});
