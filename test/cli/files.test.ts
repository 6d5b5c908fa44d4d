import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkDatabase, compactDatabase, inspectDatabase } from "../../src/index.ts";
import { version1Files } from "../fixtures/sources.ts";
import { cli, fileWithThreads } from "../support/cli.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

describe.each(version1Files)("a file of version 1, $name", ({ copy }) => {
  test("is not migrated unasked", async () => {
    const db = copy();
    const before = readFileSync(db);
    for (const command of [["threads"], ["show", "long"], ["purge", "--max-runs", "1", "--yes"]]) {
      const { code, lines, stderr } = await cli([...command, "--db", db]);
      expect({ code, lines }).toEqual({ code: 1, lines: [] });
      expect(stderr).toContain(`durable-agent-runner migrate --db ${db}`);
    }
    expect(readFileSync(db).equals(before)).toBe(true);
    expect((await cli(["check", "--db", db])).lines).toEqual([`${db}: no problems`]);
    expect(valueIn(db, "SELECT max(version) FROM schema_version")).toBe(1);
  });

  test("is migrated, and rewritten with --compact", async () => {
    const db = copy();
    const { code, lines } = await cli(["migrate", "--compact", "--db", db]);
    expect(code).toBe(0);
    expect(lines[0]).toContain("migrated from 1");
    const { schemaVersion, currentVersion, shrinks, freeBytes } = await inspectDatabase(db);
    expect({ schemaVersion, shrinks, freeBytes }).toEqual({
      schemaVersion: currentVersion,
      shrinks: true,
      freeBytes: 0,
    });
    expect((await cli(["show", "long", "--db", db])).code).toBe(0);
  });
});

describe("check", () => {
  test("finds what does not fit, and --repair sets it right", async () => {
    const db = await fileWithThreads();
    withDatabase(db, (open) => {
      open.exec("UPDATE threads SET run_count = 7 WHERE thread_id = 't'");
      open.exec("UPDATE run_state SET is_running = 1, owner_id = 'gone' WHERE thread_id = 'u'");
    });
    const found = await cli(["check", "--db", db]);
    expect(found.code).toBe(1);
    expect(found.stderr).toContain("check --repair");
    expect(found.lines).toEqual([
      expect.stringMatching(/^problem: the count of runs of thread t is 7 instead of [0-2]$/),
      expect.stringContaining("problem: thread u is held by run"),
    ]);
    const repaired = await cli(["check", "--repair", "--db", db]);
    expect({ code: repaired.code, lines: repaired.lines }).toEqual({
      code: 0,
      lines: ["repaired: counts of runs were set right", `${db}: no problems`],
    });
  });

  test("finds an index without an entry, and makes it again", async () => {
    const db = await fileWithThreads();
    withDatabase(db, (open) => {
      open.unsafeMode(true);
      open.pragma("writable_schema = ON");
      const rename = "UPDATE sqlite_master SET sql = replace(sql, '(thread_id)', '(run_id)')";
      open.exec(`${rename} WHERE name = 'idx_thread_id'`);
    });
    expect((await checkDatabase(db)).problems).toContainEqual(expect.stringContaining("SQLite: "));
    const { problems, repaired } = await checkDatabase(db, { repair: true });
    expect({ problems, repaired }).toEqual({
      problems: [],
      repaired: ["the indexes were made again"],
    });
  });

  test("finds events that are no JSON", async () => {
    const db = await fileWithThreads();
    withDatabase(db, (open) => open.exec("UPDATE agent_runs SET events = '[' WHERE run_id = 'r1'"));
    const { problems } = await checkDatabase(db);
    expect(problems).toEqual(["the events of run r1 on thread t are no JSON"]);
  });
});

test("a compacted file is smaller, and has the same threads", async () => {
  const db = await fileWithThreads();
  withDatabase(db, (open) => {
    open.exec("CREATE TABLE x (y); INSERT INTO x VALUES (zeroblob(1000000)); DROP TABLE x");
  });
  const before = await inspectDatabase(db);
  expect(before.freeBytes).toBeGreaterThan(900_000);
  const after = await compactDatabase(db);
  expect(after.bytes).toBeLessThan(before.bytes - 900_000);
  expect((await cli(["threads", "--json", "--db", db])).lines).toHaveLength(2);
});

test("a file that is not there cannot be inspected", async () => {
  await expect(inspectDatabase("/no/such/file.db")).rejects.toMatchObject({ code: "CANNOT_OPEN" });
});

test("what another program stored as a time and is none is shown as it is", async () => {
  const db = await fileWithThreads();
  withDatabase(db, (open) => {
    open.exec("UPDATE threads SET updated_at = 8700000000000000 WHERE thread_id = 't'");
    open.exec("UPDATE agent_runs SET created_at = 'yesterday' WHERE thread_id = 't'");
    // The next process indexes the threads again.
    open.exec("DELETE FROM thread_facts; DELETE FROM facts_checkpoint");
  });
  const listed = await cli(["threads", "--db", db]);
  expect({ code: listed.code, rows: listed.lines.length }).toEqual({ code: 0, rows: 3 });
  await runToEnd(openRunner({ dbPath: db }), "v", "r", answeringAgent());
  await eventually(() => valueIn(db, "SELECT count(*) FROM thread_facts WHERE up_to > 0") === 3);
  const later = await cli(["threads", "--db", db]);
  expect({ code: later.code, rows: later.lines.length }).toEqual({ code: 0, rows: 4 });
  const runs = await cli(["show", "t", "--runs", "--db", db]);
  expect({ code: runs.code, rows: runs.lines.length }).toEqual({ code: 0, rows: 3 });
});
