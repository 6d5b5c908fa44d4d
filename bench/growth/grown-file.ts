import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { SqliteAgentRunner } from "../../src/index.ts";
import type { FigureName } from "../figures.ts";
import type { Point } from "../results.ts";
import { median, percentile } from "../statistics.ts";
import { threadIdOf } from "./ids.ts";
import { readIndexes } from "./read-indexes.ts";
import { TURNS } from "./talks.ts";
import { timed, timedConnect, timedRun } from "./timed-calls.ts";
import { LONG_THREADS, RARE_THREADS, sizeOf } from "./write-file.ts";

const CRASH = fileURLToPath(new URL("./crash.child.ts", import.meta.url));

/** Runs in flight when the process is killed. */
const IN_FLIGHT = 20;

/** Stored events of a run: see `STORED_EVENTS_PER_RUN`. */
const EVENTS_OF_THREAD = 5 * TURNS;

/** Figures of which the median is reported, and of some the slowest of a hundred too. */
type Measure = Extract<
  FigureName,
  | "openMs"
  | "recoveryMs"
  | "claimColdMs"
  | "finishColdMs"
  | "claimMs"
  | "finishMs"
  | "steadyClaimMs"
  | "steadyFinishMs"
  | "connectMs"
  | "listMs"
  | "deepListMs"
  | "searchMs"
  | "twoWordsMs"
  | "rareWordsMs"
  | "shareSearchMs"
  | "disjointSearchMs"
>;

/** Measures that are reported with their p99 too. */
const TAILS = {
  claimColdMs: "claimColdP99Ms",
  finishColdMs: "finishColdP99Ms",
  steadyClaimMs: "steadyClaimP99Ms",
  steadyFinishMs: "steadyFinishP99Ms",
  connectMs: "connectP99Ms",
} as const satisfies Partial<Record<Measure, FigureName>>;

/** A file of the growth trial, the runner that has it open, and what was measured of it. */
export class GrownFile {
  readonly runs: number;
  readonly #dbPath: string;
  readonly #threads: number;
  readonly #measured = new Map<Measure, number[]>();
  #runner: SqliteAgentRunner | null = null;
  #taken: number;

  constructor(dbPath: string, runs: number) {
    this.runs = runs;
    this.#dbPath = dbPath;
    this.#threads = sizeOf(runs).threads;
    // Each trial has other threads of the kept file: they grow by its runs.
    this.#taken = Math.floor(Math.random() * this.#threads);
  }

  get runner(): SqliteAgentRunner {
    if (this.#runner === null) throw new Error("the file is not open");
    return this.#runner;
  }

  async open(measure: "openMs" | "recoveryMs"): Promise<void> {
    const runner = new SqliteAgentRunner({ dbPath: this.#dbPath });
    this.note(measure, await timed(() => runner.ready()));
    this.#runner = runner;
  }

  async close(): Promise<void> {
    const runner = this.#runner;
    this.#runner = null;
    await runner?.close();
  }

  /** Forgets what was measured so far. */
  forget(): void {
    this.#measured.clear();
  }

  note(measure: Measure, ms: number): void {
    const own = this.#measured.get(measure) ?? [];
    own.push(ms);
    this.#measured.set(measure, own);
  }

  /**
   * Threads of 20 turns, spread over the file. None comes twice before all have come: the runner does not know them
   * yet.
   */
  nextThreads(count: number): string[] {
    const first = LONG_THREADS + RARE_THREADS;
    const length = this.#threads - first;
    // Without a common divisor, so that all threads come.
    let step = Math.floor(length * 0.618);
    while (divisor(step, length) !== 1) step++;
    return Array.from({ length: count }, () =>
      threadIdOf(first + ((this.#taken++ * step) % length)),
    );
  }

  /**
   * Has the system read what will be used: all indexes, and the threads that come next, so many of them. Ten million
   * runs with their texts are larger than the memory of many machines.
   */
  async warm(count: number): Promise<void> {
    readIndexes(this.#dbPath);
    const from = this.#taken;
    const runner = new SqliteAgentRunner({ dbPath: this.#dbPath });
    for (const threadId of this.nextThreads(count)) await timedConnect(runner, threadId);
    await runner.close();
    this.#taken = from;
  }

  /** Has a process begin runs and die, opens the file, and expects the runs to have been ended. */
  async recover(): Promise<void> {
    const threads = this.nextThreads(IN_FLIGHT);
    const child = fork(CRASH, [this.#dbPath, JSON.stringify(threads)], { execArgv: [] });
    const exited = once(child, "exit");
    const [said] = await Promise.race([once(child, "message"), exited]);
    if (said !== "in flight") throw new Error(`the process to kill ended with ${said}`);
    child.kill("SIGKILL");
    await exited;
    await this.open("recoveryMs");
    for (const threadId of threads) {
      const { last } = await timedConnect(this.runner, threadId);
      if (last !== "RUN_ERROR") throw new Error(`an interrupted run ends with ${last}`);
    }
  }

  async run(threadId: string, claim: Measure, finish: Measure): Promise<void> {
    const { claimMs, finishMs } = await timedRun(this.runner, threadId);
    this.note(claim, claimMs);
    this.note(finish, finishMs);
  }

  async connect(threadId: string): Promise<void> {
    const { ms, events } = await timedConnect(this.runner, threadId);
    if (events < EVENTS_OF_THREAD)
      throw new Error(`expected 20 runs of ${threadId}, got ${events} events`);
    this.note("connectMs", ms);
  }

  /** Measures a search or a page, which has so many threads. */
  async list(
    measure: Measure,
    query: { readonly search?: string; readonly cursor?: string },
    expected: (threads: number) => boolean,
  ): Promise<void> {
    const startedAt = performance.now();
    const { threads } = await this.runner.threads.list(query);
    this.note(measure, performance.now() - startedAt);
    if (!expected(threads.length)) throw new Error(`${measure}: got ${threads.length} threads`);
  }

  /** The cursor of a page in the middle of the list of all threads. */
  async middle(): Promise<string> {
    let cursor: string | undefined;
    const limit = 500;
    const pages = Math.max(1, Math.floor(this.#threads / 2 / limit));
    for (let page = 0; page < pages; page++) {
      const of = { limit: Math.min(limit, Math.floor(this.#threads / 2)) };
      const { nextCursor } = await this.runner.threads.list(
        cursor === undefined ? of : { ...of, cursor },
      );
      if (nextCursor === null) throw new Error("the list ended before its middle");
      cursor = nextCursor;
    }
    return cursor ?? "";
  }

  point(): Point {
    const figures: Partial<Record<FigureName, number>> = {};
    for (const [measure, values] of this.#measured) {
      figures[measure] = median(values);
      const tail = (TAILS as Partial<Record<Measure, FigureName>>)[measure];
      if (tail !== undefined) figures[tail] = percentile(values, 0.99);
    }
    return { x: this.runs, figures };
  }
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
