import "../support/leak-guard.ts";
import { readFileSync } from "node:fs";
import { platform } from "node:os";
import { describe, expect, test } from "vitest";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const leaseMs = 60_000;
/** Higher than Linux gives out. */
const NO_PID = 2 ** 22 + 1;

interface Instance {
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly lease_ms: number;
  readonly heartbeat_at: number;
  readonly clock: string;
  readonly heartbeat_uptime: number;
}

/** A runner, and a way to ask what it thinks of an instance that differs from it by `changes`. */
async function judge() {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, leaseMs });
  await runner.ready();
  const own = withDatabase(dbPath, (db) =>
    db.prepare<[], Instance>("SELECT * FROM runner_instances").get(),
  );
  if (own === undefined) throw new Error("a runner without a row");
  let cases = 0;
  /** `isRunning` is asked and a run is tried on a thread that the instance holds. */
  const isAlive = async (changes: Partial<Instance>): Promise<boolean> => {
    const threadId = `thread-${++cases}`;
    const row = { ...own, ...changes, instance_id: `instance-${cases}`, threadId, now: Date.now() };
    withDatabase(dbPath, (db) =>
      db.transaction(() => {
        db.prepare(
          `INSERT INTO runner_instances
             (instance_id, host, pid, process_start, lease_ms, heartbeat_at, clock, heartbeat_uptime)
           VALUES (@instance_id, @host, @pid, @process_start, @lease_ms, @heartbeat_at, @clock,
             @heartbeat_uptime)`,
        ).run(row);
        db.prepare(
          `INSERT INTO run_state
             (thread_id, is_running, current_run_id, updated_at, epoch, owner_id)
           VALUES (@threadId, 1, 'run of ' || @threadId, @now, 1, @instance_id)`,
        ).run(row);
      })(),
    );
    const isRunning = await runner.isRunning({ threadId });
    const end = (await runToEnd(runner, threadId, `next of ${threadId}`, answeringAgent())).at(-1);
    expect(end?.type).toBe(isRunning ? "RUN_ERROR" : "RUN_FINISHED");
    if (isRunning) expect(end).toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
    return isRunning;
  };
  return { own, isAlive };
}

/** Field 22 of proc(5) stat; neither `cat` nor `sleep` has spaces in its name. */
const startTimeOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[21] ?? "";

// Elsewhere there is no /proc, and nothing tells one process of a pid from the next.
describe.skipIf(platform() !== "linux")("an instance on this host (Linux)", () => {
  test("is alive while its process is and its heart beats", async () => {
    const { own, isAlive } = await judge();
    expect(await isAlive({})).toBe(true);
    expect(await isAlive({ process_start: null })).toBe(true);
    expect(await isAlive({ heartbeat_uptime: own.heartbeat_uptime - leaseMs })).toBe(false);
    // Written before the machine was started again, on a clock that began anew.
    expect(await isAlive({ heartbeat_uptime: own.heartbeat_uptime + 10 * leaseMs })).toBe(false);
    // The time of day is nobody's lease.
    expect(await isAlive({ heartbeat_at: 0 })).toBe(true);
  });

  test("is dead when its process is gone, or its pid is another's now", async () => {
    const { isAlive } = await judge();
    expect(await isAlive({ pid: NO_PID })).toBe(false);
    expect(await isAlive({ pid: NO_PID, process_start: null })).toBe(false);
    expect(await isAlive({ process_start: "1" })).toBe(false);
    const other = spawnChild("cat", []);
    const pid = other.process.pid ?? 0;
    expect(await isAlive({ pid, process_start: startTimeOf(pid) })).toBe(true);
    expect(await isAlive({ pid })).toBe(false);
    await other.kill();
  });

  test("is dead when its process has ended and nobody has taken note of that", async () => {
    const { isAlive } = await judge();
    const parent = spawnChild("sh", ["-c", "sleep 60 & echo $!; exec cat"]);
    const pid = Number(await nextLine(parent));
    const process_start = startTimeOf(pid);
    expect(await isAlive({ pid, process_start })).toBe(true);
    // Unlike the shell, `cat` does not wait for a child that it does not know of.
    const parentName = `/proc/${parent.process.pid}/comm`;
    await eventually(() => readFileSync(parentName, "utf8").trim() === "cat");
    process.kill(pid, "SIGKILL");
    await eventually(() => readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "));
    expect(startTimeOf(pid)).toBe(process_start);
    expect(await isAlive({ pid, process_start })).toBe(false);
    await parent.kill();
  });
});

describe("an instance of another host", () => {
  test("is judged by its heartbeat alone, whatever runs here under its pid", async () => {
    const { own, isAlive } = await judge();
    const old = own.heartbeat_uptime - leaseMs;
    // A container of this machine, where the runner is pid 1 like in every other.
    const container = { host: "container|boot|pid:[4026531999]", pid: 1, process_start: "77" };
    expect(await isAlive(container)).toBe(true);
    expect(await isAlive({ ...container, pid: NO_PID })).toBe(true);
    expect(await isAlive({ ...container, heartbeat_uptime: old })).toBe(false);
    expect(await isAlive({ ...container, heartbeat_uptime: old, heartbeat_at: Date.now() })).toBe(
      false,
    );
    expect(await isAlive({ ...container, heartbeat_at: 0 })).toBe(true);
  });

  test("of another machine, by the time of day", async () => {
    const { isAlive } = await judge();
    const machine = { host: "machine|boot|pid:[1]", clock: "boot|time:[1]", pid: 1 };
    const now = Date.now();
    expect(await isAlive({ ...machine, heartbeat_at: now })).toBe(true);
    expect(await isAlive({ ...machine, heartbeat_at: now, heartbeat_uptime: 0 })).toBe(true);
    expect(await isAlive({ ...machine, heartbeat_at: now - 2 * leaseMs })).toBe(false);
    expect(await isAlive({ ...machine, heartbeat_at: now + 2 * leaseMs })).toBe(false);
    // Its own lease counts, not the reader's.
    const patient = { ...machine, heartbeat_at: now - 2 * leaseMs, lease_ms: 10 * leaseMs };
    expect(await isAlive(patient)).toBe(true);
  });
});
