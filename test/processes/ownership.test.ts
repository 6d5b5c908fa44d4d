import "../support/leak-guard.ts";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { closing, delta, opening } from "../support/said.ts";
import { answeringAgent, finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const REFUSED = [{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }];
const RECOVERED = "recovered runs of dead processes";
const HOUR_MS = 3_600_000;
const SET_CLOCK = fileURLToPath(new URL("set-clock.ts", import.meta.url));

/** A process in the middle of a run, with all events in the file. */
async function midRun(dbPath: string, options: { readonly leaseMs?: number } = {}, process_ = {}) {
  const owner = await RunnerProcess.open({ dbPath, ...options }, process_);
  const run = owner.run("t", "r");
  await run.emit(started(ids), opening("m"), delta("m", "so far"));
  await owner.flush();
  const finish = async () => {
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    return run.done;
  };
  return { owner, run, finish };
}

/** How often an instance has written its heartbeat, in leases. */
function beatenSince(dbPath: string, pid: number, since: number): number {
  const sql = "SELECT (heartbeat_uptime - ?) * 1.0 / lease_ms FROM runner_instances WHERE pid = ?";
  return Number(valueIn(dbPath, sql, since, pid));
}

const lastBeatOf = (dbPath: string, pid: number) =>
  Number(valueIn(dbPath, "SELECT heartbeat_uptime FROM runner_instances WHERE pid = ?", pid));

describe("a live owner", () => {
  test("whose main thread is blocked for several leases keeps its thread", async () => {
    const leaseMs = 500;
    const dbPath = tempDatabase();
    const { owner, finish } = await midRun(dbPath, { leaseMs });
    const logger = collectingLogger();
    const here = openRunner({ dbPath, leaseMs, logger });
    const since = lastBeatOf(dbPath, owner.pid);
    const { blocked, over } = owner.block(5 * leaseMs);
    let isOver = false;
    const ended = over.then(() => {
      isOver = true;
    });
    await blocked;
    let attempts = 0;
    while (!isOver) {
      const events = await runToEnd(here, "t", `attempt-${++attempts}`, answeringAgent());
      expect(events).toMatchObject(REFUSED);
      expect(await here.isRunning({ threadId: "t" })).toBe(true);
    }
    await ended;
    expect(attempts).toBeGreaterThan(0);
    expect(beatenSince(dbPath, owner.pid, since)).toBeGreaterThan(3);
    expect((await finish()).at(-1)?.type).toBe("RUN_FINISHED");
    expect(spokenIn(await replayOf(here, "t"))).toBe("so far");
    expect(logger.lines.filter(({ message }) => message === RECOVERED)).toEqual([]);
  });

  test("keeps its thread when the clock is set, hours forward and hours back", async () => {
    const leaseMs = 500;
    const dbPath = tempDatabase();
    const clock = `${dbPath}.clock`;
    writeFileSync(clock, "0");
    const process_ = { execArgv: ["--import", SET_CLOCK], env: { CLOCK_FILE: clock } };
    const { owner, finish } = await midRun(dbPath, { leaseMs }, process_);
    const other = await RunnerProcess.open({ dbPath, leaseMs }, process_);
    const heartbeatAt = () =>
      Number(valueIn(dbPath, "SELECT heartbeat_at FROM runner_instances WHERE pid = ?", owner.pid));
    for (const [at, hours] of [3, -3].entries()) {
      writeFileSync(clock, String(hours * HOUR_MS));
      const since = lastBeatOf(dbPath, owner.pid);
      // Both threads of both processes have the new time, and the other process's reaper has run.
      await eventually(() => beatenSince(dbPath, owner.pid, since) > 2);
      await eventually(() => beatenSince(dbPath, other.pid, since) > 2);
      expect(Math.round((heartbeatAt() - Date.now()) / HOUR_MS)).toBe(hours);
      expect(await other.isRunning("t")).toBe(true);
      expect(await other.run("t", `attempt-${at}`).done).toMatchObject(REFUSED);
      // A process whose clock was not set agrees.
      const here = openRunner({ dbPath, leaseMs });
      expect(await here.isRunning({ threadId: "t" })).toBe(true);
      expect(await runToEnd(here, "t", `mine-${at}`, answeringAgent())).toMatchObject(REFUSED);
      await here.close();
    }
    expect((await finish()).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["r"]);
  });
});

describe("an owner that was killed", () => {
  test("loses its thread at once, long before its lease ends", async () => {
    const dbPath = tempDatabase();
    const { owner } = await midRun(dbPath, { leaseMs: HOUR_MS });
    const here = openRunner({ dbPath });
    expect(await runToEnd(here, "t", "too-early", answeringAgent())).toMatchObject(REFUSED);
    await owner.kill();
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
    expect((await runToEnd(here, "t", "next", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
    const replay = await replayOf(here, "t");
    expect(runIdsIn(replay)).toEqual(["r", "next"]);
    expect(spokenIn(replay)).toBe("so faranswer to next");
    expect(replay).toContainEqual(expect.objectContaining({ code: "RUN_INTERRUPTED" }));
    await verifyWithClients(replay);
  });

  test.each([
    { opened: "before it", first: true },
    { opened: "after it", first: false },
  ])(
    "has its run ended by an idle process that has the file open, opened $opened",
    async ({ first }) => {
      const dbPath = tempDatabase();
      const options = { dbPath, leaseMs: 600 };
      let idle = first ? await RunnerProcess.open(options) : null;
      const { owner } = await midRun(dbPath, { leaseMs: HOUR_MS });
      idle ??= await RunnerProcess.open(options);
      await owner.kill();
      expect(await idle.logged(RECOVERED)).toMatchObject({
        level: "warn",
        fields: { recovered: 1 },
      });
      const [row, ...others] = runRows(dbPath, "t");
      expect(others).toEqual([]);
      expect(typesOf(eventsOf(row)).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
      expect(eventsOf(row).at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
      expect(valueIn(dbPath, "SELECT sum(is_running) FROM run_state")).toBe(0);
      const instances = "SELECT count(*) FROM runner_instances WHERE pid = ?";
      await eventually(() => valueIn(dbPath, instances, owner.pid) === 0);
      await idle.close();
    },
  );

  test("has each run ended once, by any number of processes", async () => {
    const dbPath = tempDatabase();
    const { owner } = await midRun(dbPath);
    const more = ["t1", "t2", "t3"].map((threadId) => ({ threadId, runId: `run of ${threadId}` }));
    for (const { threadId, runId } of more) {
      await owner.run(threadId, runId).emit(started({ threadId, runId }));
    }
    await owner.flush();
    const loggers = [collectingLogger(), collectingLogger(), collectingLogger()];
    for (const logger of loggers) await openRunner({ dbPath, leaseMs: 300, logger }).ready();
    await owner.kill();
    await eventually(() => valueIn(dbPath, "SELECT sum(is_running) FROM run_state") === 0);
    const recovered = () =>
      loggers
        .flatMap(({ lines }) => lines.filter(({ message }) => message === RECOVERED))
        .reduce((sum, { fields }) => sum + (fields as { recovered: number }).recovered, 0);
    await eventually(() => recovered() === 4);
    expect(valueIn(dbPath, "SELECT count(*) FROM agent_runs")).toBe(4);
    expect(valueIn(dbPath, "SELECT count(DISTINCT run_id) FROM agent_runs")).toBe(4);
    expect(recovered()).toBe(4);
  });
});
