import "../support/leak-guard.ts";
import Database from "better-sqlite3";
import { expect, it } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A trigger in the file makes a statement of the writer always fail, like damage to a table. */
function breakTable(dbPath: string, statement: string): () => void {
  const db = new Database(dbPath);
  db.exec(`CREATE TRIGGER broken BEFORE ${statement} BEGIN SELECT raise(ABORT, 'broken'); END`);
  db.close();
  return () => {
    const again = new Database(dbPath);
    again.exec("DROP TRIGGER broken");
    again.close();
  };
}

it("a run that could not be stored delays neither a connect nor the next run", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "before", answeringAgent());
  const mend = breakTable(dbPath, "INSERT ON agent_runs");
  const failed = await runToEnd(runner, "t", "lost", answeringAgent());
  expect(failed.at(-1)).toMatchObject({ code: "PERSISTENCE_FAILED" });
  // The run still holds its thread in the file.
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["before"]);
  expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  mend();
  await runToEnd(runner, "t", "after", answeringAgent());
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay)).toEqual(["before", "after"]);
  await verifyWithClients(replay);
  await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
});

it("a run whose thread could not be freed does not delay a connect", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, onConcurrentRun: "supersede" });
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "superseded") }));
  await agent.started;
  agent.emit(started(inputOf("t", "superseded")), ...text("m", "never seen again"));
  await runner.flush();
  const mend = breakTable(dbPath, "UPDATE ON run_state");
  // The next run cannot take the thread either.
  const next = await runToEnd(runner, "t", "next", answeringAgent());
  expect(next).toMatchObject([{ type: "RUN_ERROR", code: "STORE_FAILED" }]);
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(await replayOf(runner, "t")).toEqual([]);
  expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  mend();
  await runToEnd(runner, "t", "after", answeringAgent());
  await verifyWithClients(await replayOf(runner, "t"));
});
