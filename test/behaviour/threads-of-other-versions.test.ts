import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner, ThreadSummary } from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import { collectingLogger, openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually, laterMillisecond } from "../support/poll.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { Version1 } from "../support/version-1.ts";

const idsOf = (threads: readonly ThreadSummary[]) => threads.map(({ id }) => id);

async function found(runner: SqliteAgentRunner, search: string): Promise<string[]> {
  return idsOf((await runner.threads.list({ search })).threads);
}

/** Waits until everything that was stored before is found by its words. */
async function indexed(runner: SqliteAgentRunner): Promise<void> {
  const word = `marker${Math.random().toString(36).slice(2)}`;
  await runToEnd(runner, "marker", word, answeringAgent());
  await eventually(async () => (await found(runner, word)).length > 0);
  await runner.threads.delete("marker");
}

describe("a file that another version has written", () => {
  test("is listed and searched: version 1, and what its purge removes is gone", async () => {
    const dbPath = tempDatabase();
    await openRunner({ dbPath }).ready();
    const version1 = withDatabase(dbPath, (db) => {
      const store = new Version1(db);
      const run = (threadId: string, runId: string, content: string, at: number) => {
        const input = { threadId, runId, messages: [{ id: runId, role: "user", content }] };
        const start = { type: "RUN_STARTED", threadId, runId, input };
        store.store(threadId, runId, [start, { type: "RUN_FINISHED" }], input, at);
        store.setState(threadId, null);
      };
      run("old", "o1", "Erste Frage", 1000);
      run("new", "n1", "Zweite Frage", 2000);
      run("old", "o2", "dritte", 3000);
      return true;
    });
    expect(version1).toBe(true);
    const runner = openRunner({ dbPath });
    const { threads } = await runner.threads.list({ order: "created" });
    expect(threads.map(({ id, title, runs, messages }) => [id, title, runs, messages])).toEqual([
      ["new", "Zweite Frage", 1, 1],
      ["old", "Erste Frage", 2, 2],
    ]);
    await eventually(async () => (await found(runner, "frage")).length === 2);
    withDatabase(dbPath, (db) => db.exec("DELETE FROM agent_runs WHERE run_id IN ('o1', 'n1')"));
    expect(idsOf((await runner.threads.list()).threads)).toEqual(["old"]);
    await eventually(async () => (await found(runner, "frage")).length === 0);
    expect(await found(runner, "dritte")).toEqual(["old"]);
    expect(await runner.threads.get("old")).toMatchObject({
      title: "dritte",
      runs: 1,
      messages: 1,
    });
    // What is left of a thread without runs is removed too.
    const left = () =>
      withDatabase(dbPath, (db) => db.prepare("SELECT thread_id FROM threads").pluck().all());
    await eventually(() => left().length === 1);
    expect(left()).toEqual(["old"]);
  });

  test("is migrated in place: the schema before there were lists", async () => {
    const dbPath = tempDatabase();
    const before = openRunner({ dbPath });
    for (const id of ["first", "second"]) await runToEnd(before, id, `run-${id}`, answeringAgent());
    // Threads that are used in the same millisecond are in the order of their ids.
    await laterMillisecond();
    await runToEnd(before, "first", "run-third", answeringAgent());
    await before.close();
    withDatabase(dbPath, (db) => {
      const names = (sql: string) => db.prepare<[], string>(sql).pluck().all();
      const added = `sql LIKE '%thread_facts%' OR sql LIKE '%thread_search%'
        OR sql LIKE '%search_ranges%' OR sql LIKE '%thread_metadata%' OR name LIKE 'idx%threads_%'`;
      for (const name of names(
        `SELECT name FROM sqlite_master WHERE type = 'trigger' AND (${added})`,
      )) {
        db.exec(`DROP TRIGGER ${name}`);
      }
      for (const name of names(`SELECT name FROM sqlite_master WHERE name LIKE 'idx%threads_%'`)) {
        db.exec(`DROP INDEX ${name}`);
      }
      db.exec("DROP TABLE thread_search");
      for (const table of [
        "thread_facts",
        "search_ranges",
        "thread_metadata",
        "facts_checkpoint",
      ]) {
        db.exec(`DROP TABLE ${table}`);
      }
      for (const column of ["resource_id", "updated_at", "archived", "metadata", "forked_from"]) {
        db.exec(`ALTER TABLE threads DROP COLUMN ${column}`);
      }
      db.exec("DELETE FROM schema_version; INSERT INTO schema_version VALUES (4, 0)");
    });
    const runner = openRunner({ dbPath });
    const { threads } = await runner.threads.list();
    expect(threads.map(({ id, title, runs }) => [id, title, runs])).toEqual([
      ["first", "text of question-run-first", 2],
      ["second", "text of question-run-second", 1],
    ]);
    await runner.threads.archive("first");
    await eventually(async () => (await found(runner, "third")).length > 0);
    expect(await found(runner, "question answer")).toEqual(["first", "second"]);
  });
});

describe("what is derived from runs", () => {
  test("is made again when another program changes them", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const runId of ["alpha", "beta", "gamma"]) {
      await runToEnd(runner, "t", runId, answeringAgent());
    }
    await indexed(runner);
    expect(await found(runner, "alpha gamma")).toEqual(["t"]);
    withDatabase(dbPath, (db) => {
      db.exec("DELETE FROM agent_runs WHERE run_id = 'beta'");
      db.exec(
        "UPDATE agent_runs SET events = replace(events, 'gamma', 'delta') WHERE run_id = 'gamma'",
      );
    });
    expect((await runner.threads.get("t"))?.runs).toBe(2);
    await eventually(async () => (await found(runner, "delta")).length > 0);
    expect(await found(runner, "beta")).toEqual([]);
    expect(await found(runner, "alpha")).toEqual(["t"]);
    expect(await runner.threads.get("t")).toMatchObject({ runs: 2, messages: 4 });
  });

  test("is there for a run whose events are no JSON", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    await runToEnd(runner, "t", "r", answeringAgent());
    withDatabase(dbPath, (db) => {
      const insert = db.prepare(
        `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
         VALUES ('t', ?, ?, '{}', 5, 1)`,
      );
      for (const [at, events] of ["{", "", "[1,null,{}]", '"x"', '["x"]'].entries()) {
        insert.run(`bad-${at}`, events);
      }
    });
    await runToEnd(runner, "t", "last", answeringAgent());
    await indexed(runner);
    const thread = await runner.threads.get("t");
    expect(thread).toMatchObject({ runs: 7, messages: 4, lastRun: { runId: "last" } });
    expect((await runner.threads.runs("t")).runs).toHaveLength(7);
    expect(await found(runner, "last")).toEqual(["t"]);
    expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
  });
});
