import "../support/leak-guard.ts";
import { EventType } from "@ag-ui/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner, ThreadSummary } from "../../src/index.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually, laterMillisecond } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const idsOf = (threads: readonly ThreadSummary[]) => threads.map(({ id }) => id);

async function found(runner: SqliteAgentRunner, search: string): Promise<string[]> {
  return idsOf((await runner.threads.list({ search })).threads);
}

/** Waits until everything that was stored before is found by its words. */
async function indexed(runner: SqliteAgentRunner): Promise<void> {
  const word = `marker${Math.random().toString(36).slice(2)}`;
  await runToEnd(runner, "marker", word, answeringAgent());
  await eventually(async () => (await found(runner, word)).length > 0);
}

describe("a list", () => {
  test("shows each thread that nothing happens to once, whatever happens to others", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const ids = Array.from({ length: 10 }, (_, at) => `thread-${at}`);
    let runs = 0;
    const store = (id: string) => runToEnd(runner, id, `run-${++runs}`, answeringAgent());
    await Promise.all(ids.map(store));
    const actions: Record<string, (id: string) => Promise<unknown>> = {
      run: store,
      archive: (id) => runner.threads.archive(id).catch(() => undefined),
      unarchive: (id) => runner.threads.unarchive(id).catch(() => undefined),
      rename: (id) => runner.threads.rename(id, `renamed ${id}`).catch(() => undefined),
      delete: (id) => runner.threads.delete(id).catch(() => undefined),
    };
    const step = fc.tuple(fc.constantFrom(...Object.keys(actions)), fc.constantFrom(...ids));
    const order = fc.constantFrom("updated" as const, "created" as const);
    const limit = fc.integer({ min: 1, max: 4 });
    const meanwhile = fc.array(step, { maxLength: 8 });
    const property = fc.asyncProperty(order, limit, meanwhile, async (order, limit, steps) => {
      const all = idsOf((await runner.threads.list({ limit: 500 })).threads);
      const waiting = [...steps];
      const touched = new Set(waiting.map(([, id]) => id));
      const listed: string[] = [];
      let cursor: string | null = null;
      do {
        const page = await runner.threads.list({ order, limit, cursor });
        listed.push(...idsOf(page.threads));
        cursor = page.nextCursor;
        const [name, id] = waiting.shift() ?? [];
        if (name !== undefined && id !== undefined) await actions[name]?.(id);
      } while (cursor !== null);
      const untouched = (id: string) => !touched.has(id);
      expect(listed.filter(untouched).toSorted()).toEqual(all.filter(untouched).toSorted());
    });
    await fc.assert(property, { numRuns: 12 });
  });

  test("begins with the thread that was used last, whatever other lists are being read", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    // More than the writer moves to their places at once.
    const ids = Array.from({ length: 60 }, (_, at) => `thread-${at}`);
    const first = async () => idsOf((await runner.threads.list({ limit: 1 })).threads);
    let runs = 0;
    const run = (id: string) => runToEnd(runner, id, `run-${++runs}`, answeringAgent());
    await Promise.all(ids.map(run));
    await laterMillisecond();
    let isOver = false;
    const keepReading = async () => {
      while (!isOver) await first();
    };
    const others = keepReading();
    try {
      let before = "";
      for (const id of [...ids, ...ids, ...ids]) {
        // Of those that are used in the same millisecond, the one with the greatest id comes first.
        if (id < before) await laterMillisecond();
        before = id;
        await run(id);
        expect(await first()).toEqual([id]);
      }
    } finally {
      isOver = true;
      await others;
    }
  });

  test("has no thread whose agent has failed before it emitted", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const failing = scriptedAgent(() => {
      throw new Error("no");
    });
    await runToEnd(runner, "t", "r", failing);
    expect((await runner.threads.list()).threads).toEqual([]);
    expect(await runner.threads.get("t")).toBe(null);
    await expect(runner.threads.rename("t", "x")).rejects.toMatchObject({
      code: "THREAD_NOT_FOUND",
    });
  });

  test("says which threads are running, also to another runner on the file", async () => {
    const dbPath = tempDatabase();
    const [here, other] = [openRunner({ dbPath }), openRunner({ dbPath })];
    const agent = heldAgent();
    const done = runToEnd(here, "t", "r", agent);
    await agent.halfway;
    for (const runner of [here, other]) {
      const [thread] = (await runner.threads.list()).threads;
      expect(thread).toMatchObject({ id: "t", isRunning: true, runs: 0, lastRun: null });
    }
    await other.threads.rename("t", "Named meanwhile");
    agent.release();
    await done;
    for (const runner of [here, other]) {
      const thread = await runner.threads.get("t");
      expect(thread).toMatchObject({ isRunning: false, runs: 1, title: "Named meanwhile" });
    }
  });
});

describe("the pages of runs", () => {
  test("begin without a cursor, undefined or null", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    for (const runId of ["1", "2", "3"]) await runToEnd(runner, "t", runId, answeringAgent());
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await runner.threads.runs("t", { limit: 2, cursor });
      ids.push(...page.runs.map(({ runId }) => runId));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(ids).toEqual(["1", "2", "3"]);
  });
});

describe("metadata", () => {
  test("is stored as JSON has it", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    const date = new Date(0);
    const call = () => 1;
    await runner.threads.setMetadata("t", { date, call, missing: undefined, lone: "\ud800" });
    const stored = { date: date.toJSON(), lone: "\ud800" };
    expect((await runner.threads.get("t"))?.metadata).toEqual(stored);
    expect((await runner.threads.list({ metadata: { date: date.toJSON() } })).threads).toHaveLength(
      1,
    );
    const nothing = { toJSON: () => undefined };
    for (const wrong of [null, [], "x", { loop: 1n }, date, { toJSON: () => null }, nothing]) {
      await expect(runner.threads.setMetadata("t", wrong as never)).rejects.toThrow(TypeError);
    }
  });
});

describe("a fork", () => {
  test("is not made with an option that is misspelt", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    const forked = runner.threads.fork("t", { atrun: "r" } as object);
    await expect(forked).rejects.toThrow('atRun, newThreadId, got "atrun"');
    expect((await runner.threads.list()).threads).toHaveLength(1);
  });
});

describe("what is derived from runs", () => {
  test("is the same whether it was made before or is read now", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    for (let at = 0; at < 40; at++) {
      await runToEnd(runner, at % 2 === 0 ? "even" : "odd", `run-${at}`, answeringAgent());
    }
    const now = (await runner.threads.list()).threads;
    await laterMillisecond();
    await indexed(runner);
    const [marker, ...later] = (await runner.threads.list()).threads;
    expect(marker?.id).toBe("marker");
    expect(later).toEqual(now);
    expect(now.map(({ runs, messages }) => [runs, messages])).toEqual([
      [20, 40],
      [20, 40],
    ]);
  });
});

describe("the events of a thread", () => {
  test("leave the event loop to others in between", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const deltas = Array.from({ length: 450 }, (_, at) => `delta ${at}`);
    const manyEvents = scriptedAgent(function* ({ input }) {
      yield started(input);
      for (const value of deltas) yield { type: EventType.CUSTOM, name: "delta", value };
      yield finished(input);
    });
    await runToEnd(runner, "t", "r1", manyEvents);
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    const turnsOf: number[] = [];
    const values: unknown[] = [];
    for await (const event of runner.threads.events("t")) {
      if (turnsOf.length === 0) setImmediate(count);
      turnsOf.push(turns);
      if (event.type === EventType.CUSTOM) values.push(event.value);
    }
    isOver = true;
    expect(values).toEqual(deltas);
    // All of them are on one page. No hundred of them comes within one turn of the loop.
    for (let at = 100; at < turnsOf.length; at++) {
      expect(turnsOf[at]).toBeGreaterThan(turnsOf[at - 100] as number);
    }
  });
});
