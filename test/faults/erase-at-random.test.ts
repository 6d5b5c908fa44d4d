import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { valueIn } from "../support/database-file.ts";
import { countInFiles } from "../support/file-search.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { openRunner, replayOf, runIdsIn } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { Random } from "../support/random.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const PROCESSES = 3;
const THREADS = 6;

/** Actions of a test. A longer search: `ERASE_ACTIONS=1000`. */
const ACTIONS = Number(process.env.ERASE_ACTIONS ?? 30);

/** What the outcome of a call was. `killed`: its process did not live to tell it. */
type Outcome = "done" | "not found" | "killed" | "again";

class Thread {
  readonly id: string;
  /** Texts that may be in its runs. */
  markers = new Set<string>();
  /** Runs that were acknowledged, in their order. */
  runs: string[] = [];
  isBusy = false;
  isLarge = false;

  constructor(id: string) {
    this.id = id;
  }

  forget(): void {
    this.markers = new Set();
    this.runs = [];
    this.isLarge = false;
  }
}

/** Processes on one file, and what their threads have to hold. */
class Scene {
  readonly dbPath = tempDatabase();
  readonly random: Random;
  readonly threads: Thread[] = [];
  readonly processes: RunnerProcess[] = [];
  /** Texts of threads that were deleted: their journals stay for a while, for clients that follow a run. */
  readonly deleted = new Set<string>();
  /** How often something has happened. */
  readonly counts: Record<string, number> = {};

  constructor(seed: number) {
    this.random = new Random(seed, "erase");
  }

  note(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  async open(): Promise<void> {
    while (this.processes.length < PROCESSES) {
      this.processes.push(await RunnerProcess.open({ dbPath: this.dbPath, lingerMs: 1 }));
    }
    for (let at = 0; at < THREADS; at++) this.threads.push(new Thread(`t${at}`));
  }

  async killOne(): Promise<void> {
    this.note("kill");
    // Nobody asks it any more: a dead process gives no answer.
    const [victim] = this.processes.splice(this.random.integer(0, PROCESSES - 1), 1);
    await victim?.kill();
    this.processes.push(await RunnerProcess.open({ dbPath: this.dbPath, lingerMs: 1 }));
  }

  async act(): Promise<void> {
    const free = this.threads.filter(({ isBusy }) => !isBusy);
    if (free.length === 0) return delay(5);
    const thread = this.random.pick(free);
    const what = this.random.next();
    thread.isBusy = true;
    try {
      if (thread.runs.length === 0 || what < 0.35) await this.run(thread);
      else if (what < 0.5) await this.fork(thread);
      else if (what < 0.6) this.enlarge(thread);
      else if (what < 0.7) await this.remove(thread, "delete");
      else if (what < 0.8) await this.eraseDuringRun(thread);
      else await this.remove(thread, "erase");
    } finally {
      thread.isBusy = false;
    }
  }

  enlarge(thread: Thread): void {
    if (!thread.isLarge) enlargeThread(this.dbPath, thread.id, 600);
    thread.isLarge = true;
  }

  /** Begins to erase when the run has the thread. */
  async eraseDuringRun(thread: Thread): Promise<void> {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const over = this.run(thread, resolve);
    await Promise.race([begun, over]);
    await Promise.all([over, this.remove(thread, "erase")]);
    thread.forget();
  }

  async run(thread: Thread, onBegun?: () => void): Promise<void> {
    const process = this.random.pick(this.processes);
    const marker = `marker-${randomUUID()}`;
    const ids = { threadId: thread.id, runId: `${marker}-run` };
    thread.markers.add(marker);
    const run = process.run(thread.id, ids.runId);
    const told = async () => {
      await run.emit(
        started(ids),
        { type: "CUSTOM", name: "said", value: `${marker} `.repeat(100) },
        { type: "STATE_SNAPSHOT", snapshot: { notes: `${marker} state `.repeat(100) } },
      );
      onBegun?.();
      if (onBegun !== undefined) await delay(this.random.integer(0, 200));
      await run.emit(finished(ids));
      await run.finish();
      return run.done;
    };
    const killed = process.died().then(() => []);
    const events = await Promise.race([told(), run.done, killed]).catch(() => []);
    const isStored = events.at(-1)?.type === "RUN_FINISHED";
    this.note(isStored ? "run" : "unsure run");
    if (isStored) thread.runs.push(ids.runId);
  }

  async fork(from: Thread): Promise<void> {
    const fork = new Thread(`fork-${randomUUID()}`);
    fork.markers = new Set(from.markers);
    fork.isBusy = true;
    this.threads.push(fork);
    const outcome = await this.#call("fork", from.id, { newThreadId: fork.id });
    this.note(`fork ${outcome}`);
    expect(outcome).not.toBe("not found");
    const isMade = outcome === "done" || (await this.#isThere(fork.id));
    if (isMade) fork.runs = [...from.runs];
    else fork.forget();
    fork.isBusy = false;
  }

  /** Calls until it is sure that the thread is gone, and was erased if that was asked for. */
  async remove(thread: Thread, how: "delete" | "erase"): Promise<void> {
    const { markers } = thread;
    const argument = how === "delete" ? thread.id : { threadId: thread.id };
    let outcome: Outcome;
    let isFirst = true;
    do {
      outcome = await this.#call(how, argument);
      this.note(`${how} ${outcome}`);
      // It has acknowledged runs.
      if (isFirst) expect(outcome).not.toBe("not found");
      isFirst = false;
    } while (outcome === "killed" || outcome === "again");
    thread.forget();
    if (how === "delete") {
      for (const marker of markers) this.deleted.add(marker);
      return;
    }
    const others = this.threads.filter((other) => other !== thread);
    for (const marker of markers) {
      if (this.deleted.has(marker) || others.some((other) => other.markers.has(marker))) continue;
      expect(countInFiles(this.dbPath, marker), `${marker} of ${thread.id}`).toBe(0);
      this.note("marker gone");
    }
  }

  async #call(method: "fork" | "delete" | "erase", ...args: readonly unknown[]): Promise<Outcome> {
    const process = this.random.pick(this.processes);
    try {
      const result = await process.threads(method, ...args);
      if (method === "erase") expect(result).toMatchObject({ verified: true });
      return "done";
    } catch (error) {
      const message = String(error);
      if (message.includes("has exited")) return "killed";
      if (message.includes("no such thread")) return "not found";
      if (message.includes("a run holds") || message.includes("call it again")) return "again";
      throw error;
    }
  }

  async #isThere(threadId: string): Promise<boolean> {
    for (;;) {
      const found = await this.random
        .pick(this.processes)
        .threads("get", threadId)
        .catch(() => undefined);
      if (found !== undefined) return found !== null;
    }
  }

  async close(): Promise<void> {
    for (const process of this.processes) await process.kill();
  }
}

test.each([1, 2])(
  "threads are erased, deleted and forked by processes that are killed (seed %i)",
  async (seed) => {
    const scene = new Scene(seed);
    await scene.open();
    let left = ACTIONS;
    const actor = async () => {
      while (left-- > 0) await scene.act();
    };
    const actors = Promise.all([actor(), actor(), actor()]);
    const isOver = actors.then(
      () => true,
      () => true,
    );
    while (!(await Promise.race([isOver, delay(scene.random.integer(100, 1500), false)]))) {
      await scene.killOne();
    }
    await actors;
    const runner = openRunner({ dbPath: scene.dbPath });
    for (const { id, runs } of scene.threads) {
      const stored = new Set(runIdsIn(await replayOf(runner, id)));
      expect([...stored].filter((run) => runs.includes(String(run)))).toEqual(runs);
    }
    await eventually(() => valueIn(scene.dbPath, "SELECT count(*) FROM unfinished_threads") === 0);
    for (const thread of scene.threads) {
      if (thread.runs.length > 0) await scene.remove(thread, "erase");
    }
    expect(valueIn(scene.dbPath, "PRAGMA integrity_check")).toBe("ok");
    await scene.close();
    if (process.env.ERASE_ACTIONS !== undefined) console.log(scene.counts);
  },
);
