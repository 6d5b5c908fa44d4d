import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { noting, shownBy } from "../support/folded-talk.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { tempDatabase } from "../support/temp-file.ts";

async function keepView(dbPath: string, runner: SqliteAgentRunner): Promise<void> {
  await shownBy(runner);
  await eventually(() => valueIn(dbPath, "SELECT count(*) FROM thread_views") !== 0);
}

const ALL = "answer to r1. answer to r2. answer to r3. answer to r4. ";

test.each([
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
])(
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
