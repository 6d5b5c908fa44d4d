import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { runRows, valueIn } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const HOUR_MS = 3_600_000;
const GIVEN_UP = "an interrupted run is given up: its reruns crash, too";
const ids = { threadId: "t", runId: "r" };

/** A file with run "r" on thread "t", whose process was killed. */
async function fileOfKilled(dbPath = tempDatabase()): Promise<string> {
  const { owner } = await processInMidRun(dbPath, { onInterrupted: "decline" });
  await owner.kill();
  return dbPath;
}

describe("a run whose process was killed", () => {
  test("is handed to the next process, with its whole input, and run again", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath, onInterrupted: () => undefined });
    await runToEnd(first, "t", "earlier", answeringAgent());
    await first.close();
    const before = Date.now();
    await fileOfKilled(dbPath);

    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    const run = await next.interrupted();
    expect(run).toMatchObject({
      ...{ threadId: "t", runId: "r", agentId: null, resourceId: null, attempt: 1 },
      input: { threadId: "t", runId: "r", state: {}, tools: [], context: [], forwardedProps: {} },
    });
    expect(run.startedAt).toBeGreaterThanOrEqual(before);
    expect(run.startedAt).toBeLessThanOrEqual(Date.now());
    expect(run.input.messages).toEqual([
      { id: "question-earlier", role: "user", content: "text of question-earlier" },
      { id: "answer-earlier", role: "assistant", content: "answer to earlier" },
      { id: "question-r", role: "user", content: "text of question-r" },
    ]);
    expect(await next.reran()).toBeNull();
    const replay = await next.connect("t").done;
    expect(runIdsIn(replay)).toEqual(["earlier", "r", "r"]);
    expect(replay.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await verifyWithClients(replay);
    await next.close();
    expect(valueIn(dbPath, "SELECT count(*) FROM run_state WHERE interrupted_row > 0")).toBe(0);
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  });

  test("is run again by a process that was there when it was killed, and is followed", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath, { onInterrupted: "hold", leaseMs: HOUR_MS });
    const others = await Promise.all(
      [1, 2, 3].map(() => RunnerProcess.open({ dbPath, onInterrupted: "hold", leaseMs: HOUR_MS })),
    );
    await owner.kill();
    const found = await Promise.any(
      others.map(async (other) => {
        await other.interrupted();
        return other;
      }),
    );
    const { emit, finish } = await found.rerun();
    await emit(started(ids));
    const [follower = found] = others.filter((other) => other !== found);
    const followed = follower.connect("t");
    await followed.until(() => runIdsIn(followed.events).length === 2);
    await emit(finished(ids));
    await finish();
    expect((await followed.done).at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: "r" });
    expect(await found.reran()).toBeNull();
    // By now each of the others has looked for interrupted runs again.
    expect(others.flatMap(({ interruptedRuns }) => interruptedRuns)).toHaveLength(1);
    for (const other of others) await other.close();
    expect(runRows(dbPath, "t")).toHaveLength(2);
  });
});
