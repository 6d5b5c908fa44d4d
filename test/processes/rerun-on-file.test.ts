import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { expectNoneLeft, killInMidRun } from "../support/crashed-run.ts";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

describe("a backup that is restored", () => {
  test("has the run that executed then run once more, and nothing else", async () => {
    const dbPath = tempDatabase();
    const backup = tempDatabase();
    const { owner, finish } = await processInMidRun(dbPath, { onInterrupted: "decline" });
    const script = openRunner({ dbPath });
    await script.backup(backup);
    await script.close();
    await finish();
    await owner.close();
    // The process that executed the run is gone, and its run in the copy is one that a crash ended.
    for (const expected of [["r"], []]) {
      const next = await RunnerProcess.open({ dbPath: backup, onInterrupted: "answer" });
      if (expected.length > 0) await next.reran();
      await next.flush();
      expect(next.interruptedRuns.map(({ runId }) => runId)).toEqual(expected);
      await next.close();
    }
    await expectNoneLeft(backup);
  });
});

describe("another program", () => {
  test.each([
    ["version 1 takes the thread", "INSERT OR REPLACE INTO run_state VALUES ('t', 0, NULL, 1)"],
    ["the row of the thread is deleted", "DELETE FROM run_state"],
    ["the run is purged", "DELETE FROM agent_runs"],
  ])("makes a rerun void: %s", async (_, sql) => {
    const dbPath = await killInMidRun();
    const script = openRunner({ dbPath });
    await script.ready();
    await script.close();
    withDatabase(dbPath, (db) =>
      db.exec(
        sql.replace(
          "run_state VALUES",
          "run_state (thread_id, is_running, current_run_id, updated_at) VALUES",
        ),
      ),
    );
    await expectNoneLeft(dbPath);
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "next", answeringAgent());
    expect(runIdsIn(await replayOf(runner, "t")).at(-1)).toBe("next");
  });
});
