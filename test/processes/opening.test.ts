import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { valueIn } from "../support/database-file.ts";
import { openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("processes that create the file at the same time all open it, and can read it at once", async () => {
  const dbPath = tempDatabase();
  const here = openRunner({ dbPath });
  const others = [1, 2, 3].map(() => RunnerProcess.open({ dbPath }));
  expect(await replayOf(here, "t")).toEqual([]);
  await Promise.all(others);
  expect((await runToEnd(here, "t", "r", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
  expect(valueIn(dbPath, "SELECT count(*) FROM runner_instances")).toBe(4);
});
