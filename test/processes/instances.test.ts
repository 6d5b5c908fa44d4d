import "../support/leak-guard.ts";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { platform } from "node:os";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { runRows, valueIn, withDatabase } from "../support/database-file.ts";
import { delta, opening } from "../support/message-events.ts";
import { collectingLogger, openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** Long enough that no lease ends unless a test waits for that. */
const LONG_MS = 60_000;
/** Higher than any pid of Linux. */
const NO_PID = 2 ** 22 + 1;
const REFUSED = [{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }];

interface Instance {
  readonly instance_id: string;
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly lease_ms: number;
  readonly heartbeat_at: number;
  readonly heartbeat_uptime: number;
}

/** A runner, and a function that asks it about an instance that differs from it by `changes`. */
async function judge(leaseMs = LONG_MS) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, leaseMs });
  await runner.ready();
  const own = withDatabase(dbPath, (db) =>
    db.prepare<[], Instance>("SELECT * FROM runner_instances").get(),
  );
  if (own === undefined) throw new Error("a runner without a row");
  let cases = 0;
  /** Has the instance hold a thread. */
  const add = (changes: Partial<Instance>) => {
    const threadId = `thread-${++cases}`;
    const row = { ...own, ...changes, instance_id: `instance-${cases}`, threadId, now: Date.now() };
    withDatabase(dbPath, (db) =>
      db.transaction(() => {
        db.prepare(
          `INSERT INTO runner_instances
             (instance_id, host, pid, process_start, lease_ms, heartbeat_at, heartbeat_uptime)
           VALUES (@instance_id, @host, @pid, @process_start, @lease_ms, @heartbeat_at,
             @heartbeat_uptime)`,
        ).run(row);
        db.prepare(
          `INSERT INTO run_state
             (thread_id, is_running, current_run_id, updated_at, epoch, owner_id)
           VALUES (@threadId, 1, 'run of ' || @threadId, @now, 1, @instance_id)`,
        ).run(row);
      })(),
    );
    return { threadId, instanceId: row.instance_id };
  };
  const isRunning = (threadId: string) => runner.isRunning({ threadId });
  /** Calls `isRunning` and tries a run, on a thread that the instance holds. */
  const isAlive = async (changes: Partial<Instance>): Promise<boolean> => {
    const { threadId } = add(changes);
    const running = await isRunning(threadId);
    const end = (await runToEnd(runner, threadId, `next of ${threadId}`, answeringAgent())).at(-1);
    expect(end?.type).toBe(running ? "RUN_ERROR" : "RUN_FINISHED");
    if (running) expect(end).toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
    return running;
  };
  return { dbPath, own, add, isRunning, isAlive };
}

/** Field 22 of proc(5) stat; neither `cat` nor `sleep` has spaces in its name. */
const startTimeOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[21] ?? "";

// Other systems have no /proc, so a reused pid cannot be detected.
describe.skipIf(platform() !== "linux")("an instance on this host (Linux)", () => {
  test("is alive while its process lives, with any clock", async () => {
    const { own, isAlive } = await judge();
    expect(await isAlive({})).toBe(true);
    expect(await isAlive({ process_start: null })).toBe(true);
    for (const heartbeat_uptime of [0, own.heartbeat_uptime + 10 * LONG_MS]) {
      expect(await isAlive({ heartbeat_uptime })).toBe(true);
    }
    for (const heartbeat_at of [0, Date.now() + 10 * LONG_MS]) {
      expect(await isAlive({ heartbeat_at })).toBe(true);
    }
  });

  test("is dead when its process is gone, or another process has its pid", async () => {
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

  test("is dead when its process is a zombie", async () => {
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

describe("an instance whose process the kernel does not know", () => {
  const elsewhere = { host: "machine|boot|pid:[1]", pid: 1, process_start: "77" };

  test("is dead when its heartbeats have stood still for its lease, and not before", async () => {
    const { dbPath, add, isRunning } = await judge(300);
    const short = add({ ...elsewhere, lease_ms: LONG_MS });
    const long = add({ ...elsewhere, lease_ms: LONG_MS });
    expect(await isRunning(short.threadId)).toBe(true);
    // The lease ends while the test looks, not while a busy machine keeps the test from looking.
    withDatabase(dbPath, (db) =>
      db
        .prepare("UPDATE runner_instances SET lease_ms = 300 WHERE instance_id = ?")
        .run(short.instanceId),
    );
    await eventually(async () => !(await isRunning(short.threadId)));
    // Its own lease counts, not the one of the instance that judges it.
    expect(await isRunning(long.threadId)).toBe(true);
  });

  test("is alive as long as its heartbeat changes, in any direction", async () => {
    const { dbPath, own, add, isRunning } = await judge(300);
    // The instance beats whenever the one that judges it does, however busy the machine is.
    withDatabase(dbPath, (db) =>
      db.exec(`CREATE TRIGGER beats AFTER UPDATE OF heartbeat_uptime ON runner_instances
        WHEN NEW.instance_id = '${own.instance_id}'
        BEGIN UPDATE runner_instances SET heartbeat_uptime = heartbeat_uptime - 1
          WHERE heartbeat_uptime < 0; END`),
    );
    const beating = add({ ...elsewhere, lease_ms: 300, heartbeat_uptime: -1 });
    const still = add({ ...elsewhere, lease_ms: 300 });
    await eventually(async () => !(await isRunning(still.threadId)));
    expect(await isRunning(beating.threadId)).toBe(true);
  });
});

test("no process loses a run because no process could write for longer than a lease", async () => {
  const leaseMs = 1200;
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const here = openRunner({ dbPath, leaseMs, logger });
  await here.ready();
  const owners = await Promise.all([1, 2].map(() => RunnerProcess.open({ dbPath, leaseMs })));
  const runs = owners.map((owner, at) => owner.run(`t${at}`, `r${at}`));
  for (const [at, run] of runs.entries()) {
    await run.emit(started({ threadId: `t${at}`, runId: `r${at}` }));
  }
  await Promise.all(owners.map((owner) => owner.flush()));
  const other = new Database(dbPath, { timeout: 5000 });
  onTestFinished(() => void other.close());
  for (let time = 0; time < 3; time++) {
    other.exec("BEGIN IMMEDIATE");
    const until = performance.now() + 3 * leaseMs;
    await eventually(() => performance.now() > until);
    other.exec("COMMIT");
    // All instances have written their heartbeat again, and their reapers have run.
    const beats = () => valueIn(dbPath, "SELECT min(heartbeat_uptime) FROM runner_instances");
    const before = Number(beats());
    await eventually(() => Number(beats()) > before + leaseMs);
  }
  for (const [at, run] of runs.entries()) {
    await run.emit(finished({ threadId: `t${at}`, runId: `r${at}` }));
    await run.finish();
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  }
  expect(logger.lines.filter(({ message }) => message.startsWith("recovered"))).toEqual([]);
});

const NEW_PID_NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const canUnshare = spawnSync(NEW_PID_NAMESPACE[0] ?? "", [...NEW_PID_NAMESPACE.slice(1), "true"]);

// Needs root and Linux, like a container.
describe.skipIf(canUnshare.status !== 0)("a process in another pid namespace (needs root)", () => {
  test("counts as alive until it is killed, and then as dead, long before its lease ends", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open(
      { dbPath, leaseMs: LONG_MS, lingerMs: 0 },
      { within: NEW_PID_NAMESPACE },
    );
    const run = owner.run("t", "r");
    await run.emit(started({ threadId: "t", runId: "r" }), opening("m"), delta("m", "so far"));
    await owner.flush();
    const here = openRunner({ dbPath, leaseMs: LONG_MS });
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    expect(await runToEnd(here, "t", "refused", answeringAgent())).toMatchObject(REFUSED);
    await owner.kill();
    await eventually(async () => !(await here.isRunning({ threadId: "t" })));
    const events = await runToEnd(here, "t", "next", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(runRows(dbPath, "t").map(({ run_id }) => run_id)).toEqual(["r", "next"]);
    expect((await replayOf(here, "t")).map(({ code }) => code)).toContain("RUN_INTERRUPTED");
  });

  test("keeps its runs when its writer thread dies and is replaced", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open(
      { dbPath, leaseMs: LONG_MS },
      { within: NEW_PID_NAMESPACE },
    );
    const run = owner.run("t", "r");
    await run.emit(started({ threadId: "t", runId: "r" }));
    await owner.flush();
    // Its reader has the file open, and holds its lock.
    expect(await owner.connect("unknown").done).toEqual([]);
    const here = openRunner({ dbPath, leaseMs: LONG_MS });
    // First while only a reader holds its lock, and again when its new writer holds the lock too.
    for (let time = 0; time < 2; time++) {
      await owner.killWriter();
      expect(await here.isRunning({ threadId: "t" })).toBe(true);
      expect(await runToEnd(here, "t", `refused-${time}`, answeringAgent())).toMatchObject(REFUSED);
      await owner.flush();
    }
    await run.emit(finished({ threadId: "t", runId: "r" }));
    await run.finish();
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await owner.close();
  });
});

test("a writer that dies while the database is locked is replaced without a request when the lock is released", async () => {
  const leaseMs = 2000;
  const dbPath = tempDatabase();
  const here = openRunner({ dbPath, leaseMs });
  await here.ready();
  const owner = await RunnerProcess.open({ dbPath, leaseMs });
  const run = owner.run("t", "r");
  await run.emit(started({ threadId: "t", runId: "r" }));
  await owner.flush();
  const other = new Database(dbPath);
  onTestFinished(() => void other.close());
  other.exec("BEGIN IMMEDIATE");
  await owner.killWriter();
  await owner.logged("the writer could not reopen the file, and goes on trying");
  other.exec("COMMIT");
  // Its run emits nothing, so the writer gets no request.
  const beat = "SELECT heartbeat_uptime FROM runner_instances WHERE pid = ?";
  const before = Number(valueIn(dbPath, beat, owner.pid));
  await eventually(() => Number(valueIn(dbPath, beat, owner.pid)) > before + 2 * leaseMs);
  expect(await here.isRunning({ threadId: "t" })).toBe(true);
  await run.emit(finished({ threadId: "t", runId: "r" }));
  await run.finish();
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
});

test("lock files exist as long as their instances", async () => {
  const dbPath = tempDatabase();
  const locks = () => readdirSync(dirname(dbPath)).filter((name) => name.includes("-lock-"));
  const here = openRunner({ dbPath });
  await here.ready();
  expect(locks()).toHaveLength(1);
  const owner = await RunnerProcess.open({ dbPath });
  expect(locks()).toHaveLength(2);
  await owner.kill();
  await eventually(() => locks().length === 1);
  await here.close();
  expect(locks()).toEqual([]);
  expect(existsSync(dbPath)).toBe(true);
});
