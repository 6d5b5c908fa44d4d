import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import {
  EVERY_RESOURCE,
  type PurgeResult,
  type SqliteAgentRunner,
  withResource,
} from "../../src/index.ts";
import { ageThread, isIndexed, sharedUnits, storedRows } from "../support/database-file.ts";
import {
  collect,
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const HOUR_MS = 3_600_000;

/** Runs `r1`, `r2` and so on of a thread. */
async function store(runner: SqliteAgentRunner, threadId: string, runs: number): Promise<void> {
  for (let at = 1; at <= runs; at++) {
    await runToEnd(runner, threadId, `r${at}`, answeringAgent());
  }
}

/** Makes the threads as if their last run had ended so many hours ago, in this order. */
async function age(
  dbPath: string,
  ...threads: readonly (readonly [threadId: string, hours: number])[]
): Promise<void> {
  // What indexes the threads corrects when they were updated: it has to be done with their runs.
  await eventually(() => isIndexed(dbPath));
  for (const [threadId, hours] of threads) {
    ageThread(dbPath, threadId, Date.now() - hours * HOUR_MS);
  }
}

async function runsOf(runner: SqliteAgentRunner, threadId: string): Promise<unknown[]> {
  return runIdsIn(await replayOf(runner, threadId));
}

describe("runner.purge", () => {
  test("removes threads whose last run ended too long ago", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["old", "older", "young"]) await store(runner, threadId, 2);
    await age(dbPath, ["old", 3], ["older", 4], ["young", 1]);
    const done = await runner.purge({ maxAgeMs: 2 * HOUR_MS });
    expect(done).toMatchObject({ threads: 2, runs: 4 });
    expect(done.bytes).toBeGreaterThan(0);
    expect(await runsOf(runner, "old")).toEqual([]);
    expect(await runsOf(runner, "young")).toEqual(["r1", "r2"]);
    expect(await storedRows(dbPath)).toBe(2);
  });

  test("of all resources takes EVERY_RESOURCE where a resource is required", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), resources: "required" });
    for (const user of ["ada", "grace"]) {
      await withResource(user, () => store(runner, `thread of ${user}`, 1));
    }
    await expect(runner.purge({ maxThreads: 0 })).rejects.toMatchObject({
      code: "RESOURCE_REQUIRED",
    });
    const ofAda = await withResource("ada", () => runner.purge({ maxThreads: 0 }));
    expect(ofAda).toMatchObject({ threads: 1 });
    const ofAll = await withResource(EVERY_RESOURCE, () => runner.purge({ maxThreads: 0 }));
    expect(ofAll).toMatchObject({ threads: 1 });
  });

  test("removes the oldest threads of too many, and of too many bytes", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["a", "b", "c", "d"]) await store(runner, threadId, 1);
    await age(dbPath, ["c", 4], ["a", 3], ["d", 2], ["b", 1]);
    expect(await runner.purge({ maxThreads: 3 })).toMatchObject({ threads: 1 });
    expect(await runsOf(runner, "c")).toEqual([]);
    const all = await runner.purge({ maxBytes: 0, dryRun: true });
    expect(all.threads).toBe(3);
    const done = await runner.purge({ maxBytes: all.bytes - 1 });
    expect(done.threads).toBe(1);
    expect(await runsOf(runner, "a")).toEqual([]);
    expect(await runsOf(runner, "d")).toEqual(["r1"]);
    expect(await runner.purge({ maxThreads: 0 })).toMatchObject({ threads: 2 });
  });

  test("removes the oldest runs of a thread, and the rest is what a client sees", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await store(runner, "t", 20);
    await replayOf(runner, "t");
    expect(await runner.purge({ maxRunsPerThread: 3 })).toMatchObject({ threads: 0, runs: 17 });
    expect(await runsOf(runner, "t")).toEqual(["r18", "r19", "r20"]);
    const messages = await runner.threads.messages("t");
    expect(messages.map(({ id }) => id)).toEqual(
      [18, 19, 20].flatMap((at) => [`question-r${at}`, `answer-r${at}`]),
    );
    await store(runner, "other", 1);
    expect(await runner.purge({ maxRunsPerThread: 1, keepLatest: 2 })).toMatchObject({ runs: 1 });
  });

  test.each(["the same runner", "another runner"])(
    "messages of removed runs stay known to %s",
    async (which) => {
      const dbPath = tempDatabase();
      const [runner, other] = [openRunner({ dbPath }), openRunner({ dbPath })];
      const next = which === "the same runner" ? runner : other;
      // The second runner remembers the thread as it was before.
      await store(next, "t", 5);
      await runner.purge({ maxRunsPerThread: 1 });
      const list = [1, 2, 3, 4, 5].flatMap((at) => [`question-r${at}`, `answer-r${at}`]);
      const input = inputOf("t", "r6", [...list, "new"]);
      const events = await new Promise<unknown[]>((resolve) => {
        const seen: unknown[] = [];
        next
          .run({ threadId: "t", agent: answeringAgent(), input })
          .subscribe({ next: (event) => seen.push(event), complete: () => resolve(seen) });
      });
      const [first] = events as { input: { messages: { id: string }[] } }[];
      expect(first?.input.messages.map(({ id }) => id)).toEqual(["new"]);
      const shown = await next.threads.messages("t");
      expect(shown.map(({ id }) => id)).toEqual(["question-r5", "answer-r5", "new", "answer-r6"]);
      expect((await next.threads.get("t"))?.runs).toBe(2);
    },
  );

  test("an answer that was regenerated, before or after it, stays replaced by the new one", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const ask = async (runId: string, messages: readonly string[]) => {
      const input = inputOf("t", runId, messages);
      await collect(runner.run({ threadId: "t", agent: answeringAgent(), input }));
    };
    const seen = async () => (await runner.threads.messages("t")).map(({ id }) => id);
    const list: string[] = [];
    for (const runId of ["1", "2", "3", "4"]) {
      await ask(runId, [...list, `q${runId}`]);
      list.push(`q${runId}`, `answer-${runId}`);
    }
    await ask("before", list.slice(0, -1));
    list.splice(-1, 1, "answer-before");
    await runner.purge({ maxRunsPerThread: 3 });
    expect(await seen()).toEqual(["q3", "answer-3", "q4", "answer-before"]);
    await ask("after", list.slice(0, -1));
    expect(await seen()).toEqual(["q3", "answer-3", "q4", "answer-after"]);
    await ask("earlier", list.slice(0, 5));
    expect(await seen()).toEqual(["q3", "answer-earlier"]);
    // A page that shows more than the thread has left, and asks for something new.
    await ask("next", [...list.slice(0, 5), "answer-earlier", "q5"]);
    expect(await seen()).toEqual(["q3", "answer-earlier", "q5", "answer-next"]);
  });

  test("values that later runs use stay readable, and others go", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const text = (at: number) => `${`word${at} `.repeat(500)}`;
    const agent = (at: number) =>
      scriptedAgent(function* ({ input }) {
        yield started(input);
        const parts = [text(at), text(at + 1)];
        yield { type: "STATE_SNAPSHOT", snapshot: { parts } };
        yield finished(input);
      });
    for (let at = 1; at <= 6; at++) await runToEnd(runner, "t", `r${at}`, agent(at));
    const before = sharedUnits(dbPath);
    await runner.purge({ maxRunsPerThread: 2 });
    expect(await runner.threads.state("t")).toEqual({ parts: [text(6), text(7)] });
    const stored = [];
    for await (const event of runner.threads.events("t")) stored.push(event);
    expect(JSON.stringify(stored)).toContain(text(5));
    expect(sharedUnits(dbPath)).toBeLessThan(before / 1.5);
  });

  test("leaves alone a thread with a run", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await store(runner, "t", 3);
    const agent = heldAgent();
    const running = runToEnd(runner, "t", "r4", agent);
    await agent.halfway;
    await age(dbPath, ["t", 100]);
    const limits = { maxAgeMs: HOUR_MS, maxThreads: 0, maxBytes: 0, maxRunsPerThread: 1 };
    expect(await runner.purge(limits)).toMatchObject({ threads: 0, runs: 0 });
    agent.release();
    expect((await running).at(-1)?.type).toBe("RUN_FINISHED");
    expect(await runsOf(runner, "t")).toEqual(["r1", "r2", "r3", "r4"]);
  });

  test("with archivedOnly, and within a resource, leaves all others alone", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["open", "archived"]) await store(runner, threadId, 2);
    await withResource("ann", () => store(runner, "hers", 2));
    await runner.threads.archive("archived");
    const purge = () => runner.purge({ maxThreads: 0 });
    expect(await withResource("bob", purge)).toMatchObject({ threads: 0 });
    expect(await runner.purge({ maxThreads: 0, archivedOnly: true })).toMatchObject({ threads: 1 });
    expect(await runsOf(runner, "archived")).toEqual([]);
    expect(await withResource("ann", purge)).toMatchObject({ threads: 1 });
    expect(await runsOf(runner, "open")).toEqual(["r1", "r2"]);
  });

  test("a dry run removes nothing, and counts what a purge removes", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["a", "b"]) await store(runner, threadId, 3);
    for (const limits of [{ maxRunsPerThread: 1 }, { maxThreads: 1 }]) {
      const dry = await runner.purge({ ...limits, dryRun: true });
      expect(dry.runs).toBeGreaterThan(0);
      const told: PurgeResult[] = [];
      const done = await runner.purge({ ...limits, onProgress: (now) => told.push(now) });
      expect(done).toEqual(dry);
      expect(told.at(-1)).toEqual(done);
    }
  });

  test("wrong limits are a TypeError, and a closed runner says so", async () => {
    const runner = openRunner({});
    await expect(runner.purge({ maxAgeMs: -1 })).rejects.toThrow(/expected maxAgeMs .*, got -1$/);
    await expect(runner.purge({ everyMs: 5 } as object)).rejects.toThrow(TypeError);
    expect(await runner.purge({})).toEqual({ threads: 0, runs: 0, bytes: 0 });
    await runner.close();
    await expect(runner.purge({})).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  });

  test("with an aborted signal, it ends early", async () => {
    const runner = openRunner({});
    await store(runner, "t", 2);
    const signal = AbortSignal.abort();
    await expect(runner.purge({ maxThreads: 0, signal })).rejects.toThrow(/abort/i);
    expect(await runsOf(runner, "t")).toEqual(["r1", "r2"]);
  });
});

describe("the option retention", () => {
  test("purges by itself, again and again", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger, retention: { maxRunsPerThread: 1, everyMs: 20 } });
    for (const threadId of ["a", "b"]) {
      await store(runner, threadId, 3);
      await eventually(async () => (await runsOf(runner, threadId)).length === 1);
    }
    expect(logger.lines.some(({ message }) => message === "threads and runs were purged")).toBe(
      true,
    );
    expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
  });
});
