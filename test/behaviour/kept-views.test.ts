import "../support/leak-guard.ts";
import { readFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { RunStoreError, StoreAgentRunner } from "../../src/index.ts";
import type { RunStore } from "../../src/store/run-store.ts";
import { KeptViews } from "../../workers/sqlite/views/keep-view.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { noting, shownBy } from "../support/folded-talk.ts";
import { keepViewOf, readViewOf } from "../support/keep-view.ts";
import { collect, openRunner, runToEnd, typesOf, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";

async function keepView(dbPath: string, runner: SqliteAgentRunner): Promise<void> {
  await shownBy(runner);
  await eventually(() => valueIn(dbPath, "SELECT count(*) FROM thread_views") !== 0);
}

const ALL = "answer to r1. answer to r2. answer to r3. answer to r4. ";

const CHANGES = [
  {
    change: "deletes a run",
    sql: "DELETE FROM agent_runs WHERE run_id = 'r2'",
    shown: ALL.replace("answer to r2. ", ""),
  },
  {
    change: "changes a run",
    sql: `UPDATE agent_runs SET events = replace(events, 'answer to r2', 'another')
          WHERE run_id = 'r2'`,
    shown: ALL.replace("answer to r2", "another"),
  },
  {
    change: "replaces a run",
    sql: `CREATE TEMP TABLE changed AS SELECT * FROM agent_runs WHERE run_id = 'r2';
          UPDATE changed SET events = replace(events, 'answer to r2', 'another');
          INSERT OR REPLACE INTO agent_runs SELECT * FROM changed`,
    shown: ALL.replace("answer to r2", "another"),
  },
];

test.each(CHANGES)(
  "a client sees it when another program $change before a view that was kept",
  async ({ sql, shown }) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const id of ["r1", "r2", "r3", "r4"]) await runToEnd(runner, "t", id, noting());
    await keepView(dbPath, runner);

    withDatabase(dbPath, (db) => db.exec(sql));

    expect(await shownBy(runner)).toBe(shown);
  },
);

test.each(CHANGES)(
  "a view that was read before another program $change is not kept after that",
  async ({ sql, shown }) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const id of ["r1", "r2", "r3", "r4"]) await runToEnd(runner, "t", id, noting());
    const view = readViewOf(dbPath, { threadId: "t", leaveOut: 1 });
    expect(view.packed).not.toBeNull();
    const keep = () =>
      withDatabase(dbPath, (db) =>
        new KeptViews(db).keep({ threadId: "t", ...view, packed: view.packed ?? expect.fail() }),
      );
    const kept = () => valueIn(dbPath, "SELECT count(*) FROM thread_views");
    keep();
    expect(kept()).toBe(1);

    withDatabase(dbPath, (db) => db.exec(sql));
    keep();

    expect(kept()).toBe(0);
    expect(await shownBy(runner)).toBe(shown);
  },
);

test("a client sees a run that another program puts back before a view that was kept", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of ["r1", "r2", "r3", "r4"]) await runToEnd(runner, "t", id, noting());
  withDatabase(dbPath, (db) =>
    db.exec(
      `CREATE TABLE purged AS SELECT * FROM agent_runs WHERE run_id = 'r2';
       DELETE FROM agent_runs WHERE run_id = 'r2'`,
    ),
  );
  await keepView(dbPath, runner);

  withDatabase(dbPath, (db) => db.exec("INSERT INTO agent_runs SELECT * FROM purged"));

  expect(await shownBy(runner)).toBe(ALL);
});

const RUNS = ["r1", "r2", "r3", "r4"];

test("a view that is kept for the very row is read as it is kept", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of RUNS) await runToEnd(runner, "t", id, noting());
  // JSON.stringify writes no spaces: it would leave them out.
  keepViewOf(dbPath, "t", 1, (json) => json.replaceAll('","', '" , "'));

  const { messages, packed } = readViewOf(dbPath, { threadId: "t", leaveOut: 1 });
  expect(messages.join()).toContain('" , "');
  expect(packed).toBeNull();
  expect(await shownBy(runner)).toBe(ALL);
});

test("what is no view is not taken for one, and is replaced by a view", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of RUNS) await runToEnd(runner, "t", id, noting());
  withDatabase(dbPath, (db) =>
    db.exec(
      `INSERT INTO thread_views (thread_id, up_to, runs, view)
       SELECT thread_id, id, 1, x'0102030405' FROM agent_runs`,
    ),
  );

  expect(await shownBy(runner)).toBe(ALL);
  const isReplaced = "SELECT max(length(view)) > 5 FROM thread_views WHERE runs = 3";
  await eventually(() => valueIn(dbPath, isReplaced) === 1);
  expect(await shownBy(runner)).toBe(ALL);
});

test("of a thread whose replays fold runs, a view is kept before anybody connects again", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, replayRuns: 2 });
  await collect(runner.connect({ threadId: "t" }));
  for (let at = 1; at <= 8; at++) await runToEnd(runner, "t", `r${at}`, noting());
  await eventually(() => valueIn(dbPath, "SELECT count(*) FROM thread_views") !== 0);
  // The last two runs are not folded.
  const behind = `SELECT count(*) FROM agent_runs WHERE id > (SELECT max(up_to) FROM thread_views)`;
  expect(valueIn(dbPath, behind)).toBeGreaterThanOrEqual(2);
  await runner.close();

  const reopened = openRunner({ dbPath });
  const answers = Array.from({ length: 8 }, (_, at) => `answer to r${at + 1}. `);
  expect(await shownBy(reopened)).toBe(answers.join(""));
});

test("an erased thread leaves nothing of the views that were kept of it", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of RUNS) await runToEnd(runner, "t", id, noting());
  keepViewOf(dbPath, "t", 0);
  keepViewOf(dbPath, "t", 2);
  const sql = "SELECT hex(substr(view, length(view) / 2, 40)) FROM thread_views LIMIT 1";
  const part = Buffer.from(String(valueIn(dbPath, sql)), "hex");

  expect(await runner.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
  expect(valueIn(dbPath, "SELECT count(*) FROM thread_views")).toBe(0);
  // SQLite of this process would lose its locks on a file that it has open.
  await runner.close();
  expect(readFileSync(dbPath).includes(part)).toBe(false);
});

/** A runner on the file whose store reads views as `readView` says. */
function runnerReading(dbPath: string, readView: NonNullable<RunStore["readView"]>) {
  const store = Object.assign(sqliteStore(dbPath), { readView });
  const runner = new StoreAgentRunner({ store } as never);
  onTestFinished(() => runner.close());
  return runner;
}

test("a client gets the beginning of its first run before the view of the older ones is read", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of RUNS) await runToEnd(runner, "t", id, noting());
  const { promise: isAllowed, resolve: allow } = Promise.withResolvers<void>();
  const store = sqliteStore(dbPath);
  onTestFinished(() => store.close(1000));
  const slow = runnerReading(dbPath, async (threadId, point, earlier) => {
    await isAllowed;
    return (await store.readView?.(threadId, point, earlier)) ?? expect.fail("no views");
  });

  const headers = { "x-replay-runs": "1" };
  const client = watch(slow.connect({ threadId: "t", headers }));
  await eventually(() => client.events.length > 0);
  expect(client.events).toMatchObject([{ type: "RUN_STARTED", runId: "r4" }]);
  allow();
  await client.done;
  const replayed = await collect(runner.connect({ threadId: "t", headers }));
  expect(client.events).toEqual(replayed);
});

test("a client is told when the view of the older runs cannot be read", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of RUNS) await runToEnd(runner, "t", id, noting());
  const broken = runnerReading(dbPath, () =>
    Promise.reject(new RunStoreError("CORRUPT", "the view cannot be read")),
  );

  const headers = { "x-replay-runs": "1" };
  const events = await collect(broken.connect({ threadId: "t", headers }));
  expect(typesOf(events)).toEqual(["RUN_STARTED", "RUN_ERROR"]);
  expect(events.at(-1)).toMatchObject({ message: "the view cannot be read" });
});
