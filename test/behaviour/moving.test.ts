import "../support/leak-guard.ts";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import {
  exportThreads,
  fromNdjson,
  importThreads,
  type RunInput,
  type RunSummary,
  toNdjson,
  withResource,
} from "../../src/index.ts";
import { conversations, version1Files } from "../fixtures/sources.ts";
import { runRows, withDatabase } from "../support/database-file.ts";
import { allIds, moveAll, recordsOf, shownOf } from "../support/moving.ts";
import { collect, openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent, inputOf, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const user = (id: string, content = id) => ({ id, role: "user" as const, content });

test("a thread behaves after a move as it would have before", async () => {
  const [from, to] = [
    openRunner({ dbPath: tempDatabase() }),
    openRunner({ dbPath: tempDatabase() }),
  ];
  await runToEnd(from, "t", "r", answeringAgent());
  await runToEnd(from, "t", "r", answeringAgent());
  await from.threads.rename("t", "A title");
  await from.threads.setMetadata("t", { a: 1, b: { c: [null] } });
  await from.threads.archive("t");
  await withResource("ann", () => runToEnd(from, "ann's", "r", answeringAgent()));
  await from.threads.fork("t", { newThreadId: "fork" });
  expect(await moveAll(from, to)).toEqual({ threads: 3, skipped: 0, runs: 5 });
  for (const id of ["t", "ann's", "fork"]) {
    expect(await shownOf(to, id)).toEqual(await shownOf(from, id));
  }
  expect((await to.threads.list({ metadata: { a: 1 }, archived: true })).threads).toHaveLength(1);
  // Messages that the thread has are not stored again.
  const messages = [user("t-r"), user("new")];
  for (const runner of [from, to]) {
    await collect(
      runner.run({
        threadId: "t",
        agent: answeringAgent(),
        input: { ...inputOf("t", "r2"), messages },
      }),
    );
  }
  const [here, there] = [await shownOf(from, "t"), await shownOf(to, "t")];
  expect(there.events).toEqual(here.events);
  expect(there.runs.map(({ epoch }) => epoch)).toEqual(here.runs.map(({ epoch }) => epoch));
});

describe.each(conversations)("conversations, $name", ({ turns }) => {
  test("are the same after a move", async () => {
    const [from, to] = [
      openRunner({ dbPath: tempDatabase(), storeInput: "full" }),
      openRunner({ dbPath: tempDatabase() }),
    ];
    for (const { scenario: threadId, turn, input, events } of turns) {
      const agent = scriptedAgent(() => events);
      const runId = `${threadId}-${turn}`;
      await collect(from.run({ threadId, agent, input: { ...input, runId } as RunInput }));
    }
    await moveAll(from, to);
    const ids = await allIds(from);
    expect(ids.length).toBeGreaterThan(0);
    expect(await allIds(to)).toEqual(ids);
    for (const id of ids) expect(await shownOf(to, id)).toEqual(await shownOf(from, id));
  });
});

describe.each(version1Files)("a file of version 1, $name", ({ copy }) => {
  test("is moved with all its threads, through NDJSON", async () => {
    const [from, to] = [openRunner({ dbPath: copy() }), openRunner({ dbPath: tempDatabase() })];
    const path = `${tempDatabase()}.ndjson`;
    await pipeline(toNdjson(exportThreads(from)), createWriteStream(path));
    const ids = await allIds(from);
    const result = await importThreads(to, fromNdjson(createReadStream(path)));
    expect(result).toMatchObject({ threads: ids.length, skipped: 0 });
    expect(await allIds(to)).toEqual(ids);
    for (const id of ids) {
      const [here, there] = [await shownOf(from, id), await shownOf(to, id)];
      // Runs of version 1 have no epoch, and share no values: their bytes count a little more.
      const known = ({ epoch: _, bytes: __, ...run }: RunSummary) => run;
      expect(there.runs.map(known)).toEqual(here.runs.map(known));
      const epochs = there.runs.map(({ epoch }) => epoch);
      expect(epochs).toEqual(epochs.map((_, at) => at + 1));
      for (const name of ["inputs", "events", "messages", "state", "replay"] as const) {
        expect(there[name]).toEqual(here[name]);
      }
    }
    expect(await importThreads(to, fromNdjson(createReadStream(path)))).toMatchObject({
      threads: 0,
      skipped: ids.length,
    });
  });
});

test("what another program has stored as events or input is moved as it is", async () => {
  const dbPath = tempDatabase();
  const from = openRunner({ dbPath });
  await runToEnd(from, "t", "r0", answeringAgent());
  await from.close();
  const long = `[${"1,".repeat(50_000)}null]`;
  const texts = ["no JSON", "", "{}", '[1,null,{"type":5}]', long];
  withDatabase(dbPath, (db) => {
    const insert = db.prepare(
      `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
       VALUES ('t', ?, ?, ?, 5, 1)`,
    );
    for (const [at, text] of texts.entries()) insert.run(`r${at + 1}`, text, text);
  });
  const [again, to] = [openRunner({ dbPath }), tempDatabase()];
  const target = openRunner({ dbPath: to });
  await moveAll(again, target);
  const stored = runRows(to, "t").map(({ events, input }) => [events, input]);
  expect(stored.slice(1)).toEqual(texts.map((text) => [text, text]));
  expect(await moveAll(again, target)).toMatchObject({ threads: 0, skipped: 1 });
});

test("from and to a database in memory", async () => {
  const from = openRunner({ dbPath: tempDatabase() });
  await runToEnd(from, "t", "r", answeringAgent());
  const [via, to] = [openRunner({}), openRunner({ dbPath: tempDatabase() })];
  await moveAll(from, via);
  await moveAll(via, to);
  expect(await recordsOf(to)).toEqual(await recordsOf(from));
});
