import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import {
  type ExportRecord,
  exportThreads,
  fromNdjson,
  importThreads,
  type SqliteAgentRunner,
  withResource,
} from "../../src/index.ts";
import { runRows } from "../support/database-file.ts";
import { allIds, moveAll, recordsOf, shownOf } from "../support/moving.ts";
import { collect, openRunner, replayOf, runToEnd, spokenIn } from "../support/open-runner.ts";
import { answeringAgent, heldAgent, inputOf, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const open = (options = {}) => openRunner({ dbPath: tempDatabase(), ...options });

/** A runner with threads of two runs each. */
async function withThreads(...ids: readonly string[]): Promise<SqliteAgentRunner> {
  const runner = open();
  for (const id of ids) {
    await runToEnd(runner, id, `${id}-1`, answeringAgent());
    await runToEnd(runner, id, `${id}-2`, answeringAgent());
  }
  return runner;
}

const epochsOf = async (runner: SqliteAgentRunner, threadId: string) =>
  (await runner.threads.runs(threadId)).runs.map(({ epoch }) => epoch);

/** A run that sends messages, by their ids. Resolves with the ids that were new to the thread. */
async function newTo(runner: SqliteAgentRunner, ids: readonly string[], runId = "next") {
  const [first] = await collect(
    runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", runId, ids) }),
  );
  const input = first?.input as { messages: readonly { id: string }[] } | undefined;
  return input?.messages.map(({ id }) => id);
}

describe("the thread's next run", () => {
  test("gets no number that a claim without a run had", async () => {
    const [from, to] = [await withThreads("t"), open()];
    const failing = scriptedAgent(() => {
      throw new Error("no");
    });
    await runToEnd(from, "t", "failed", failing);
    await moveAll(from, to);
    for (const runner of [from, to]) await runToEnd(runner, "t", "next", answeringAgent());
    expect(await epochsOf(from, "t")).toEqual([1, 2, 4]);
    expect(await epochsOf(to, "t")).toEqual([1, 2, 4]);
  });

  test("knows the messages of runs that were purged, after a second move too", async () => {
    const from = await withThreads("t");
    await runToEnd(from, "t", "t-3", answeringAgent());
    await from.purge({ maxRunsPerThread: 1 });
    const [via, to] = [open(), open()];
    await moveAll(from, via);
    await moveAll(via, to);
    const ids = ["question-t-1", "answer-t-1", "question-t-2", "answer-t-2", "question-t-3"];
    for (const runner of [from, via, to]) {
      expect(await newTo(runner, [...ids, "answer-t-3", "new"])).toEqual(["new"]);
    }
  });

  test("may have an id that a run of another thread has", async () => {
    const from = await withThreads("t");
    const to = open();
    await runToEnd(to, "other", "t-1", answeringAgent());
    await moveAll(from, to);
    await runToEnd(to, "t", "t-2", answeringAgent());
    const ids = (await to.threads.runs("t")).runs.map(({ runId }) => runId);
    expect(ids).toEqual(["t-1", "t-2", "t-2"]);
  });

  test("comes behind all runs of a thread of the same id that was removed", async () => {
    const from = await withThreads("t");
    const dbPath = tempDatabase();
    const [to, beside] = [openRunner({ dbPath }), openRunner({ dbPath })];
    for (const at of [1, 2, 3, 4, 5]) await runToEnd(beside, "t", `r${at}`, answeringAgent());
    const [last] = (await epochsOf(to, "t")).slice(-1);
    await to.threads.delete("t");
    await moveAll(from, to);
    // This runner remembers the removed thread.
    expect(await newTo(beside, ["question-t-1", "answer-t-2", "question-r5"])).toEqual([
      "question-r5",
    ]);
    expect((await epochsOf(to, "t")).at(-1)).toBeGreaterThan(last ?? 0);
  });
});

describe("a run on a thread that is imported", () => {
  test("is refused until the thread is whole, and nobody sees the thread before", async () => {
    const { source } = await withLongRun("x".repeat(1_100_000));
    const dbPath = tempDatabase();
    const [to, beside] = [openRunner({ dbPath }), openRunner({ dbPath })];
    const whole = await recordsOf(source);
    const gate = Promise.withResolvers<void>();
    const isHalf = Promise.withResolvers<void>();
    async function* halves() {
      for (const record of whole) {
        if (record.type === "end") {
          isHalf.resolve();
          await gate.promise;
        }
        yield record;
      }
    }
    const importing = importThreads(to, halves());
    await isHalf.promise;
    for (const runner of [to, beside]) {
      expect(await runner.threads.get("t")).toBe(null);
      expect(await runner.threads.list()).toMatchObject({ threads: [] });
      expect(await replayOf(runner, "t")).toEqual([]);
      expect(await runner.isRunning({ threadId: "t" })).toBe(false);
      const refused = openRunner({ dbPath, onConcurrentRun: "reject" });
      const [error] = await runToEnd(refused, "t", "beside", answeringAgent());
      expect(error).toMatchObject({ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" });
    }
    await expect(importThreads(to, whole)).rejects.toMatchObject({ code: "THREAD_EXISTS" });
    const waiting = openRunner({ dbPath, onConcurrentRun: "enqueue" });
    const enqueued = runToEnd(waiting, "t", "enqueued", answeringAgent());
    gate.resolve();
    expect(await importing).toMatchObject({ threads: 1 });
    await enqueued;
    const ids = (await to.threads.runs("t")).runs.map(({ runId }) => runId);
    expect(ids).toEqual(["long", "enqueued"]);
  });
});

/** A runner with a thread whose only run is longer than a piece of an import. */
async function withLongRun(text: string) {
  const source = open();
  const agent = scriptedAgent(function* ({ input }) {
    const { threadId, runId } = input;
    yield { type: "RUN_STARTED", threadId, runId };
    for (let at = 0; at < 40; at++) {
      yield { type: "CUSTOM", name: "part", value: text.slice(0, text.length / 40) + at };
    }
    yield { type: "RUN_FINISHED", threadId, runId };
  });
  await runToEnd(source, "t", "long", agent);
  return { source };
}

describe("records that are not those of an export", () => {
  test("cut off anywhere: whole threads are imported, and the next import goes on", async () => {
    const from = await withThreads("a", "b", "c");
    const records = await recordsOf(from);
    for (let length = 0; length < records.length; length++) {
      const to = open();
      const part = records.slice(0, length);
      await expect(importThreads(to, part)).rejects.toMatchObject({ code: "EXPORT_DAMAGED" });
      const whole = part.flatMap((record) => (record.type === "end" ? record.threadId : []));
      expect(await allIds(to)).toEqual(whole.toSorted());
      const result = await importThreads(to, records);
      expect(result).toMatchObject({ threads: 3 - whole.length, skipped: whole.length });
      expect(await recordsOf(to)).toEqual(records);
      await to.close();
    }
  });

  test("changed anywhere: the thread is not imported", async () => {
    const from = await withThreads("t");
    const records = await recordsOf(from);
    const change = (record: ExportRecord): ExportRecord[] => {
      switch (record.type) {
        case "thread":
          return [
            { ...record, title: "Another" },
            { ...record, resourceId: "ann" },
          ];
        case "run":
          return [
            { ...record, events: record.events.slice(1) },
            { ...record, input: {} },
            { ...record, runId: "another" },
            { ...record, isLast: false },
          ];
        case "end":
          return [
            { ...record, runs: 1 },
            { ...record, threadId: "another" },
          ];
        case "total":
          return [{ ...record, threads: 2 }];
        default:
          return [];
      }
    };
    let changes = 0;
    for (const [at, record] of records.entries()) {
      for (const changed of [...change(record), null]) {
        const to = open();
        const list = records.toSpliced(at, 1, ...(changed === null ? [] : [changed]));
        await expect(importThreads(to, list)).rejects.toMatchObject({ code: "EXPORT_DAMAGED" });
        expect(await allIds(to)).toEqual(record.type === "total" ? ["t"] : []);
        changes++;
        await to.close();
      }
    }
    expect(changes).toBeGreaterThan(10);
  });

  test.each([
    ["a text", "no JSON\n"],
    ["another object", '{"a":1}\n'],
    ["a number", "1\n"],
    ["a thread without an id", '{"type":"thread","format":1}\n'],
    ["an unknown kind", '{"type":"constructor"}\n'],
    ["nothing", ""],
  ])("%s: EXPORT_DAMAGED", async (_, text) => {
    const to = open();
    await expect(importThreads(to, fromNdjson([text]))).rejects.toMatchObject({
      code: "EXPORT_DAMAGED",
    });
  });

  test("of a later format: SCHEMA_TOO_NEW", async () => {
    const records = [{ type: "thread", format: 2 }] as unknown as ExportRecord[];
    await expect(importThreads(open(), records)).rejects.toMatchObject({ code: "SCHEMA_TOO_NEW" });
  });
});

describe("a thread that is there already", () => {
  test("with the same runs, and perhaps later ones: it is passed over", async () => {
    const [from, to] = [await withThreads("a", "b"), open()];
    await moveAll(from, to);
    await runToEnd(to, "a", "later", answeringAgent());
    await to.threads.rename("b", "Renamed since");
    const before = await recordsOf(to);
    expect(await moveAll(from, to)).toEqual({ threads: 0, skipped: 2, runs: 4 });
    expect(await recordsOf(to)).toEqual(before);
    // Into the store that it comes from.
    expect(await moveAll(from, from)).toMatchObject({ threads: 0, skipped: 2 });
  });

  test("with other runs: THREAD_EXISTS, unless it is to be skipped or replaced", async () => {
    const [from, to] = [await withThreads("a", "t", "z"), open()];
    await runToEnd(to, "t", "t-1", answeringAgent());
    const [before, records] = [await shownOf(to, "t"), await recordsOf(from)];
    await expect(importThreads(to, records)).rejects.toMatchObject({ code: "THREAD_EXISTS" });
    expect(await shownOf(to, "t")).toEqual(before);
    const skipped = await importThreads(to, records, { onConflict: "skip" });
    expect(skipped.threads + skipped.skipped).toBe(3);
    expect(await shownOf(to, "t")).toEqual(before);
    await importThreads(to, records, { onConflict: "replace" });
    const [here, there] = [await shownOf(from, "t"), await shownOf(to, "t")];
    expect(there.events).toEqual(here.events);
    expect(await allIds(to)).toEqual(["a", "t", "z"]);
  });

  test("of another resource: THREAD_EXISTS", async () => {
    const [from, to] = [await withThreads("t"), open()];
    const records = await recordsOf(from);
    await withResource("ann", () => runToEnd(to, "t", "t-1", answeringAgent()));
    await expect(importThreads(to, records)).rejects.toMatchObject({ code: "THREAD_EXISTS" });
  });

  test("and that a run holds: it is neither imported nor replaced", async () => {
    const [from, to] = [await withThreads("t"), open()];
    const records = await recordsOf(from);
    const agent = heldAgent();
    const done = runToEnd(to, "t", "t-1", agent);
    await agent.halfway;
    await expect(importThreads(to, records)).rejects.toMatchObject({ code: "THREAD_EXISTS" });
    const replacing = importThreads(to, records, { onConflict: "replace" });
    await expect(replacing).rejects.toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
    agent.release();
    expect(spokenIn(await done)).toBe("first half, second half");
  });
});

describe("resources", () => {
  test("within withResource, only its threads are exported and imported", async () => {
    const [from, to] = [open({ resources: "required" }), open({ resources: "required" })];
    for (const who of ["ann", "bob"]) {
      await withResource(who, () => runToEnd(from, `of ${who}`, who, answeringAgent()));
    }
    expect(() => exportThreads(from)).toThrow(
      expect.objectContaining({ code: "RESOURCE_REQUIRED" }),
    );
    const records = await withResource("ann", () => recordsOf(from));
    expect(records.map(({ type }) => type)).toEqual(["thread", "run", "end", "total"]);
    expect(await withResource("ann", () => recordsOf(from, { resourceId: "bob" }))).toEqual([
      { type: "total", threads: 0, runs: 0 },
    ]);
    const foreign = withResource("bob", () => importThreads(to, records));
    await expect(foreign).rejects.toMatchObject({ code: "THREAD_NOT_FOUND" });
    expect(await withResource("ann", () => importThreads(to, records))).toMatchObject({
      threads: 1,
    });
    expect(await withResource("bob", () => to.threads.get("of ann"))).toBe(null);
    expect(await withResource("ann", () => to.threads.get("of ann"))).toMatchObject({ runs: 1 });
  });

  test("the filters of a list choose the threads of an export", async () => {
    const from = await withThreads("a", "b");
    await from.threads.setMetadata("a", { kept: true });
    const idsOf = (records: readonly ExportRecord[]) =>
      records.flatMap((record) => (record.type === "thread" ? record.threadId : []));
    expect(idsOf(await recordsOf(from, { metadata: { kept: true } }))).toEqual(["a"]);
    expect(idsOf(await recordsOf(from, { threadIds: ["b", "unknown", "a"] }))).toEqual(["b", "a"]);
    const nobodys = await recordsOf(from, { resourceId: "ann" });
    expect(nobodys).toEqual([{ type: "total", threads: 0, runs: 0 }]);
  });
});

describe("a store that changes while it is exported", () => {
  test("a run that has not ended is left out", async () => {
    const [from, to] = [await withThreads("t"), open()];
    const agent = heldAgent();
    const done = runToEnd(from, "t", "held", agent);
    const fresh = heldAgent();
    const first = runToEnd(from, "first", "first", fresh);
    await Promise.all([agent.halfway, fresh.halfway]);
    expect(await moveAll(from, to)).toEqual({ threads: 1, skipped: 0, runs: 2 });
    agent.release();
    fresh.release();
    await Promise.all([done, first]);
    expect(await allIds(to)).toEqual(["t"]);
  });

  test("a thread that is removed or shortened in the middle is imported whole or not at all", async () => {
    const { source } = await withLongRun("x".repeat(2_000_000));
    for (const at of [1, 2, 3, 4]) await runToEnd(source, "t", `more-${at}`, answeringAgent());
    const whole = (await shownOf(source, "t")).events;
    const to = open();
    let isShortened = false;
    async function* shortening() {
      for await (const record of exportThreads(source)) {
        yield record;
        if (record.type !== "events" || isShortened) continue;
        isShortened = true;
        await source.purge({ maxRunsPerThread: 2 });
      }
    }
    // A store may have read all of it before.
    const { threads, runs } = await importThreads(to, shortening());
    expect([1, [2, 5].indexOf(runs) >= 0]).toEqual([threads, true]);
    const shortened = (await shownOf(source, "t")).events;
    expect((await shownOf(to, "t")).events).toEqual(runs === 2 ? shortened : whole);
    const { source: other } = await withLongRun("x".repeat(2_000_000));
    const dbPath = tempDatabase();
    const target = openRunner({ dbPath });
    async function* removing() {
      for await (const record of exportThreads(other)) {
        yield record;
        if (record.type === "run") await other.threads.delete("t");
      }
    }
    const { threads: imported } = await importThreads(target, removing());
    expect(await allIds(target)).toEqual(imported === 0 ? [] : ["t"]);
    if (imported === 0) expect(runRows(dbPath, "t")).toEqual([]);
  });
});

test("progress is told, and a signal ends both", async () => {
  const from = await withThreads("a", "b", "c");
  const [exported, imported]: number[][] = [[], []];
  const to = open();
  const onExport = ({ threads }: { threads: number }) => void exported?.push(threads);
  const onImport = ({ threads }: { threads: number }) => void imported?.push(threads);
  await importThreads(to, exportThreads(from, { onProgress: onExport }), { onProgress: onImport });
  expect([exported, imported]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  const controller = new AbortController();
  const onProgress = () => controller.abort(new Error("enough"));
  const { signal } = controller;
  const target = open();
  const ended = importThreads(target, exportThreads(from), { onProgress, signal });
  await expect(ended).rejects.toThrow("enough");
  expect(await allIds(target)).toHaveLength(1);
  await expect(recordsOf(from, { signal })).rejects.toThrow("enough");
});

test("a runner that is closed in the middle leaves nothing of a thread", async () => {
  const { source } = await withLongRun("x".repeat(2_000_000));
  const records = await recordsOf(source);
  const dbPath = tempDatabase();
  const to = openRunner({ dbPath });
  async function* closing() {
    for (const record of records) {
      if (record.type === "end") await to.close();
      yield record;
    }
  }
  await expect(importThreads(to, closing())).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  const again = openRunner({ dbPath });
  expect(await importThreads(again, records)).toMatchObject({ threads: 1 });
  expect(await recordsOf(again)).toEqual(records);
});

test("wrong arguments are a TypeError", async () => {
  const runner = open();
  const wrong = (value: unknown) => value as never;
  expect(() => exportThreads(wrong({}))).toThrow(TypeError);
  expect(() => exportThreads(runner, wrong({ threadIds: [1] }))).toThrow(TypeError);
  expect(() => exportThreads(runner, wrong({ onProgress: 1 }))).toThrow(TypeError);
  await expect(importThreads(runner, [], wrong({ onConflict: "merge" }))).rejects.toThrow(
    TypeError,
  );
  await expect(importThreads(wrong(null), [])).rejects.toThrow(TypeError);
  for (const records of [undefined, "{}", {}]) {
    await expect(importThreads(runner, wrong(records))).rejects.toThrow("expected the records of");
  }
});
