import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { withDatabase } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const leaseMs = 60_000;

/** Writes what a version 1 runner writes at the begin of a run, `agoMs` ago. */
function begin(dbPath: string, threadId: string, agoMs = 0): void {
  withDatabase(dbPath, (db) =>
    db
      .prepare(
        `INSERT OR REPLACE INTO run_state (thread_id, is_running, current_run_id, updated_at)
         VALUES (?, 1, 'theirs', ?)`,
      )
      .run(threadId, Date.now() - agoMs),
  );
}

/** Writes what a version 1 runner writes at the end of that run. */
function end(dbPath: string, threadId: string): void {
  const ids = { threadId, runId: "theirs" };
  const events = [started(ids), ...text("m", "said by version 1"), finished(ids)];
  withDatabase(dbPath, (db) => {
    db.prepare(
      `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
       VALUES (?, 'theirs', ?, '{}', ?, 1)`,
    ).run(threadId, JSON.stringify(events), Date.now());
    db.prepare(
      "UPDATE run_state SET is_running = 0, current_run_id = NULL, updated_at = ? WHERE thread_id = ?",
    ).run(Date.now(), threadId);
  });
}

async function opened(onConcurrentRun: "throw" | "enqueue" = "throw") {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, leaseMs, onConcurrentRun });
  await runner.ready();
  return { dbPath, runner };
}

describe("a thread with an executing run of a version 1 runner", () => {
  test.each([
    { when: "just now", agoMs: 0, held: true },
    { when: "within the lease", agoMs: leaseMs / 2, held: true },
    { when: "before the lease", agoMs: leaseMs + 1, held: false },
    { when: "in the future by more than it", agoMs: -leaseMs - 10_000, held: false },
  ])("since $when: isRunning, stop and a claim agree", async ({ agoMs, held }) => {
    const { dbPath, runner } = await opened();
    begin(dbPath, "t", agoMs);
    expect(await runner.isRunning({ threadId: "t" })).toBe(held);
    // Version 1 would not find a stop request, so none is stored.
    expect(await runner.stop({ threadId: "t" })).toBe(false);
    expect(await runner.isRunning({ threadId: "t" })).toBe(held);
    const last = (await runToEnd(runner, "t", "ours", answeringAgent())).at(-1);
    expect(last).toMatchObject(
      held ? { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" } : { type: "RUN_FINISHED" },
    );
  });

  test("is followed to the end of the run, which version 1 stores only then", async () => {
    const { dbPath, runner } = await opened();
    begin(dbPath, "t");
    const follower = watch(runner.connect({ threadId: "t" }));
    expect(await runner.isRunning({ threadId: "t" })).toBe(true);
    expect(follower.events).toEqual([]);
    end(dbPath, "t");
    expect(spokenIn(await follower.done)).toBe("said by version 1");
  });

  test("is waited for", async () => {
    const { dbPath, runner } = await opened("enqueue");
    begin(dbPath, "t");
    const input = inputOf("t", "ours");
    const waiting = watch(runner.run({ threadId: "t", agent: answeringAgent(), input }));
    await runner.flush();
    expect(waiting.events).toEqual([]);
    end(dbPath, "t");
    expect((await waiting.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["theirs", "ours"]);
  });
});
