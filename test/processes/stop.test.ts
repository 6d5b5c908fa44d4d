import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import { delta, opening } from "../support/message-events.ts";
import { asReplayed, openRunner, typesOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import type { OnAbort } from "../support/runner.child.ts";
import { type DistantRun, RunnerProcess } from "../support/runner-process.ts";
import { finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
/**
 * An owner that thinks it is alone, and whose agent is silent, finds the request at its next heartbeat. Longer
 * than a busy machine stalls.
 */
const leaseMs = 3000;

async function runElsewhere(onAbort: OnAbort, stopTimeoutMs: number) {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath, leaseMs, stopTimeoutMs });
  const run = owner.run("t", "r", { onAbort });
  await run.emit(started(ids), opening("m"), delta("m", "as I was saying"));
  return { dbPath, owner, run, here: openRunner({ dbPath, leaseMs }) };
}

async function expectStopped(dbPath: string, run: DistantRun): Promise<void> {
  const events = await run.done;
  expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
  await verifyWithClients(events);
  const [row] = runRows(dbPath, "t");
  expect(row?.run_id).toBe("r");
  expect(asReplayed(eventsOf(row))).toEqual(asReplayed(events));
}

describe("stop, of a run of another process", () => {
  test.each([{ runId: undefined }, { runId: "r" }])("with the run id $runId", async ({ runId }) => {
    const { dbPath, owner, run, here } = await runElsewhere("end", 60_000);
    expect(await here.stop({ threadId: "t", runId: "other" })).toBe(false);
    expect(await here.stop({ threadId: "idle" })).toBe(false);
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    expect(await here.stop({ threadId: "t", ...(runId !== undefined && { runId }) })).toBe(true);
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
    await expectStopped(dbPath, run);
    expect(await run.aborts()).toBe(1);
    expect(await owner.isRunning("t")).toBe(false);
    expect(await here.stop({ threadId: "t" })).toBe(false);
  });

  test("returns true once: the second time there is nothing to stop", async () => {
    const { dbPath, owner, run, here } = await runElsewhere("ignore", 60_000);
    expect(await here.stop({ threadId: "t" })).toBe(true);
    expect(await here.stop({ threadId: "t" })).toBe(false);
    expect(await here.stop({ threadId: "t", runId: "r" })).toBe(false);
    // Its owner was told to stop: isRunning is false there too, although its agent goes on.
    await eventually(async () => (await run.aborts()) === 1);
    expect(await owner.isRunning("t")).toBe(false);
    expect(await owner.stop("t")).toBe(false);
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
    expect(run.events.at(-1)?.type).toBe("TEXT_MESSAGE_CONTENT");
    await run.finish();
    await expectStopped(dbPath, run);
    expect(await run.aborts()).toBe(1);
  });

  test.each([
    { kind: "ignores its abort", onAbort: "ignore" as const },
    { kind: "throws when it is to abort", onAbort: "throw" as const },
  ])("cuts off an agent that $kind", async ({ onAbort }) => {
    const { dbPath, owner, run, here } = await runElsewhere(onAbort, 100);
    expect(await here.stop({ threadId: "t" })).toBe(true);
    await expectStopped(dbPath, run);
    expect(await run.aborts()).toBe(1);
    await run.emit(delta("m", "and another thing"), finished(ids));
    await owner.logged("the agent emitted events after its run had ended; they are ignored");
    expect(await run.done).toHaveLength(5);
    // The thread is free.
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
  });

  test("returns false for a run whose process was killed", async () => {
    const { owner, here } = await runElsewhere("end", 100);
    await owner.flush();
    await here.ready();
    await owner.kill();
    expect(await here.stop({ threadId: "t" })).toBe(false);
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
  });
});
