import "../support/leak-guard.ts";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runRows, valueIn } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const REFUSED = [{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }];
const RECOVERED = "recovered runs of dead processes";
const HOUR_MS = 3_600_000;
/** Longer than a busy machine stalls. */
const leaseMs = 1500;
const SET_CLOCK = fileURLToPath(new URL("set-clock.ts", import.meta.url));

/** How often an instance has written its heartbeat, in leases. */
function beatenSince(dbPath: string, pid: number, since: number): number {
  const sql = "SELECT (heartbeat_uptime - ?) * 1.0 / lease_ms FROM runner_instances WHERE pid = ?";
  return Number(valueIn(dbPath, sql, since, pid));
}

const lastBeatOf = (dbPath: string, pid: number) =>
  Number(valueIn(dbPath, "SELECT heartbeat_uptime FROM runner_instances WHERE pid = ?", pid));

describe("a live owner", () => {
  test("whose main thread is blocked for several leases keeps its thread", async () => {
    const dbPath = tempDatabase();
    const { owner, finish } = await processInMidRun(dbPath, { leaseMs });
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
    const dbPath = tempDatabase();
    const clock = `${dbPath}.clock`;
    writeFileSync(clock, "0");
    const process_ = { execArgv: ["--import", SET_CLOCK], env: { CLOCK_FILE: clock } };
    const { owner, finish } = await processInMidRun(dbPath, { leaseMs }, process_);
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
