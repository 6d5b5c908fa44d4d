import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import {
  annsThread,
  as,
  failingAtOnce,
  NOT_FOUND,
  OTHERS,
  replayAs,
  runAs,
} from "../support/anns-thread.ts";
import { withDatabase } from "../support/database-file.ts";
import { collect, openRunner, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

describe("version 1 and its statements on the same file", () => {
  const REPLACE_STATE = `INSERT OR REPLACE INTO run_state
    (thread_id, is_running, current_run_id, updated_at) VALUES ('t', 0, NULL, 1)`;
  const INSERT_RUN = `INSERT INTO agent_runs
    (thread_id, run_id, parent_run_id, events, input, created_at, version)
    VALUES ('t', 'v1', NULL, '[]', '{}', 1, 1)`;

  test.each([
    ["replaces the state of the thread", REPLACE_STATE],
    ["deletes the state of the thread", "DELETE FROM run_state"],
    ["stores a run on the thread", INSERT_RUN],
    ["purges some of its runs", "DELETE FROM agent_runs WHERE run_id = 'stored'"],
    ["purges all of its runs", "DELETE FROM agent_runs"],
  ])("open it to nobody: it %s", async (_, sql) => {
    const { dbPath, runner, finish } = await annsThread();
    await finish();
    const second = openRunner({ dbPath });
    withDatabase(dbPath, (db) => db.exec(sql));
    for (const at of [runner, second]) {
      for (const who of OTHERS) {
        expect(await replayAs(at, who)).toEqual([]);
        expect(await runAs(at, who, "stolen")).toEqual(NOT_FOUND);
      }
    }
    expect((await runAs(second, "ann", "next")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  });

  test("open it to nobody while a run executes", async () => {
    const { dbPath, runner, finish } = await annsThread();
    for (const sql of [REPLACE_STATE, "DELETE FROM run_state", "DELETE FROM agent_runs"]) {
      withDatabase(dbPath, (db) => db.exec(sql));
      for (const who of OTHERS) {
        expect(await runAs(runner, who, "stolen")).toEqual(NOT_FOUND);
        expect(await replayAs(runner, who)).toEqual([]);
      }
    }
    await finish();
    for (const who of OTHERS) expect(await replayAs(runner, who)).toEqual([]);
  });

  test("leave nothing of a purged thread to the resource that gets its id", async () => {
    const { dbPath, runner, finish } = await annsThread();
    await finish();
    withDatabase(dbPath, (db) => db.exec("DELETE FROM agent_runs"));
    const silent = failingAtOnce();
    await as("ann", () => runToEnd(runner, "t", "silent", silent));
    const messages = ["question-stored", "question-live", "m"];
    const events = await as("bob", () =>
      collect(
        runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "r", messages) }),
      ),
    );
    expect(events[0]?.input).toMatchObject({ messages: messages.map((id) => ({ id })) });
    expect(runIdsIn(await replayAs(runner, "bob"))).toEqual(["r"]);
    expect(await replayAs(runner, "ann")).toEqual([]);
  });

  test("a thread of version 1 is one of nobody, also while version 1 executes its first run", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runner.ready();
    withDatabase(dbPath, (db) =>
      db
        .prepare(
          `INSERT OR REPLACE INTO run_state (thread_id, is_running, current_run_id, updated_at)
           VALUES ('t', 1, 'v1', ?)`,
        )
        .run(Date.now()),
    );
    expect(await runAs(runner, "ann", "stolen")).toEqual(NOT_FOUND);
    withDatabase(dbPath, (db) => {
      db.exec(INSERT_RUN);
      db.exec(REPLACE_STATE);
    });
    expect(await replayAs(runner, "ann")).toEqual([]);
    expect(await runAs(runner, "ann", "stolen")).toEqual(NOT_FOUND);
    expect((await runAs(runner, null, "next")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  });
});
