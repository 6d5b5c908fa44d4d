import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { runRows, valueIn } from "../support/database-file.ts";
import { openRunner, replayOf, runToEnd, spokenIn, typesOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { delta, opening } from "../support/said.ts";
import { answeringAgent, finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const leaseMs = 400;

/** A process that is suspended in the middle of a run. */
async function asleep(lingerMs: number) {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath, leaseMs, lingerMs });
  const run = owner.run("t", "r");
  await run.emit(started(ids), opening("m"), delta("m", "before sleep"));
  if (lingerMs < leaseMs) await owner.flush();
  const heartbeat = () => Number(valueIn(dbPath, "SELECT heartbeat_uptime FROM runner_instances"));
  const last = heartbeat();
  // Just after a write, so that it does not hold the file's lock.
  await eventually(() => heartbeat() !== last);
  owner.pause();
  const pastLease = () => Number(process.hrtime.bigint()) / 1e6 - heartbeat() > leaseMs;
  return { dbPath, owner, run, pastLease };
}

describe("a process that is suspended for longer than its lease", () => {
  test("loses its thread to another process, and notices although its agent emits nothing more", async () => {
    const { dbPath, owner, run } = await asleep(0);
    const here = openRunner({ dbPath, leaseMs, onConcurrentRun: "enqueue" });
    expect((await runToEnd(here, "t", "next", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
    const stored = runRows(dbPath, "t");
    expect(stored.map((row) => row.run_id)).toEqual(["r", "next"]);

    owner.resume();
    const events = await run.done;
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    await verifyWithClients(events);
    expect(await run.aborts()).toBe(1);
    expect(await owner.isRunning("t")).toBe(false);
    expect(runRows(dbPath, "t")).toEqual(stored);
    // From here on, it works like any other process.
    const again = owner.run("t", "again");
    await again.emit(started({ threadId: "t", runId: "again" }));
    await again.finish();
    await again.done;
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["r", "next", "again"]);
    await owner.close();
  });

  test.each([
    { journaled: "as it spoke", lingerMs: 0 },
    { journaled: "not at all", lingerMs: 60_000 },
  ])("does not overwrite later runs of the thread, journaled $journaled", async ({ lingerMs }) => {
    const { dbPath, owner, run } = await asleep(lingerMs);
    const here = openRunner({ dbPath, leaseMs, onConcurrentRun: "enqueue" });
    await runToEnd(here, "t", "next", answeringAgent());
    const stored = runRows(dbPath, "t");
    // These commands are there when it wakes: it may execute them before it notices the time.
    const words = run.emit(...text("late", "after sleep"), finished(ids));
    const end = run.finish();
    owner.resume();
    await Promise.all([words, end]);
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    await owner.flush();
    expect(runRows(dbPath, "t")).toEqual(stored);
    expect(spokenIn(await replayOf(here, "t"))).not.toContain("after sleep");
    expect(valueIn(dbPath, "SELECT sum(is_running) FROM run_state")).toBe(0);
  });

  test("goes on if no other process has taken its thread", async () => {
    const { dbPath, owner, run, pastLease } = await asleep(0);
    await eventually(pastLease);
    owner.resume();
    const beats = "SELECT heartbeat_uptime FROM runner_instances";
    const last = valueIn(dbPath, beats);
    await eventually(() => valueIn(dbPath, beats) !== last);
    await run.emit(...text("late", ", after sleep"), finished(ids));
    await run.finish();
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(spokenIn(await replayOf(openRunner({ dbPath }), "t"))).toBe("before sleep, after sleep");
  });
});
