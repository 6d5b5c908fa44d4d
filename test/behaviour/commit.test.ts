import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import { openRunner, replayOf, runToEnd, typesOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

describe("when the stream has completed", () => {
  test("another connection sees the run, isRunning is false, and connect shows it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const seen = Promise.withResolvers<{ rows: number; isRunning: Promise<boolean> }>();
    const stream = runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "r") });
    stream.subscribe({
      // In the callback itself: not a tick later.
      complete: () => {
        const isRunning = runner.isRunning({ threadId: "t" });
        seen.resolve({ rows: runRows(dbPath, "t").length, isRunning });
      },
    });
    const { rows, isRunning } = await seen.promise;
    expect(rows).toBe(1);
    expect(await isRunning).toBe(false);
    expect(typesOf(await replayOf(runner, "t"))).toEqual(
      typesOf(eventsOf(runRows(dbPath, "t")[0])),
    );
    expect(valueIn(dbPath, "SELECT is_running FROM run_state WHERE thread_id = 't'")).toBe(0);
  });

  test("the run is stored: the terminal event comes before the row, the completion after it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    let completed = false;
    watched.done.then(() => {
      completed = true;
    });
    agent.emit(started(ids), finished(ids));
    agent.finish();
    await watched.until(({ type }) => type === "RUN_FINISHED");
    expect(completed).toBe(false);
    await watched.done;
    expect(runRows(dbPath, "t")).toHaveLength(1);
  });

  test("each of many runs that end at once is stored", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const threads = Array.from({ length: 100 }, (_, index) => `t${index}`);
    await Promise.all(
      threads.map(async (threadId) => {
        await runToEnd(runner, threadId, `run of ${threadId}`, answeringAgent());
        expect(await runner.isRunning({ threadId })).toBe(false);
      }),
    );
    for (const threadId of threads) expect(runRows(dbPath, threadId)).toHaveLength(1);
    expect(runner.stats().batches).toBeLessThan(100);
  });
});

test("a runner in memory behaves the same, as long as it lives", async () => {
  const runner = openRunner({ dbPath: ":memory:" });
  expect(runner).toBeInstanceOf(SqliteAgentRunner);
  const live = await runToEnd(runner, "t", "r", answeringAgent());
  expect(live.at(-1)?.type).toBe("RUN_FINISHED");
  expect(typesOf(await replayOf(runner, "t"))).toContain("TEXT_MESSAGE_CONTENT");
});
