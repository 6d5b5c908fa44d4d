import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import { delta, opening } from "../support/message-events.ts";
import {
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
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
  await owner.pauseUnlocked(dbPath);
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
    expect(eventsOf(stored[0]).at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });

    owner.resume();
    const events = await run.done;
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    await verifyWithClients(events);
    expect(await run.aborts()).toBe(1);
    expect(await owner.isRunning("t")).toBe(false);
    expect(runRows(dbPath, "t")).toEqual(stored);
    // From here on, it works like any other process. There is no other that could judge it: its lease is short.
    await here.close();
    const again = owner.run("t", "again");
    await again.emit(started({ threadId: "t", runId: "again" }));
    await again.finish();
    await again.done;
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["r", "next", "again"]);
    await owner.close();
  });

  test.each([
    { journaled: "as it was emitted", lingerMs: 0, replayed: "before sleepanswer to next" },
    { journaled: "not at all", lingerMs: 60_000, replayed: "answer to next" },
  ])("does not overwrite what happened meanwhile, its run journaled $journaled", async (how) => {
    const { dbPath, owner, run } = await asleep(how.lingerMs);
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
    expect(spokenIn(await replayOf(here, "t"))).toBe(how.replayed);
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

describe("a runner whose instance another process has found dead", () => {
  // So long that the sleeper does not wake by its own heartbeat during the test.
  const NO_HEARTBEAT_MS = 2 ** 31 - 1;

  /** Like the file after another process found the runner dead: without its row. */
  function expireLeases(dbPath: string): void {
    withDatabase(dbPath, (db) => {
      const { changes } = db.prepare("DELETE FROM runner_instances").run();
      expect(changes).toBe(1);
    });
  }

  function sleepingAgent() {
    const asleep = Promise.withResolvers<void>();
    const woken = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input }) {
      yield started(input);
      yield* text("before", "said before sleep");
      asleep.resolve();
      await woken.promise;
      yield* text("after", "said after sleep");
      yield finished(input);
    });
    return { agent, asleep: asleep.promise, wake: woken.resolve };
  }

  /** A runner with a run in flight that was suspended for longer than its lease. */
  async function sleepPastTheLease() {
    const dbPath = tempDatabase();
    const stale = openRunner({ dbPath, leaseMs: NO_HEARTBEAT_MS });
    const sleeper = sleepingAgent();
    const input = inputOf("thread", "stale-run");
    const staleRun = watch(stale.run({ threadId: "thread", agent: sleeper.agent, input }));
    await sleeper.asleep;
    await stale.flush();
    expireLeases(dbPath);
    return { dbPath, stale, sleeper, staleRun };
  }

  test("does not touch the run that has the thread now", async () => {
    const { dbPath, sleeper, staleRun } = await sleepPastTheLease();

    const successor = openRunner({ dbPath });
    const next = sleepingAgent();
    const nextRun = watch(
      successor.run({
        threadId: "thread",
        agent: next.agent,
        input: inputOf("thread", "successor-run"),
      }),
    );
    await next.asleep;
    sleeper.wake();
    expect((await staleRun.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    await verifyWithClients(staleRun.events);

    // The refused write neither freed the thread nor changed the journal of the other run.
    expect(await successor.isRunning({ threadId: "thread" })).toBe(true);
    const owner = "SELECT current_run_id FROM run_state WHERE thread_id = 'thread'";
    expect(valueIn(dbPath, owner)).toBe("successor-run");
    next.wake();
    expect((await nextRun.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    const [, successorRow] = runRows(dbPath, "thread");
    expect(spokenIn(eventsOf(successorRow))).toBe("said before sleepsaid after sleep");
  });

  test("is told to abort when its agent goes on", async () => {
    const dbPath = tempDatabase();
    const stale = openRunner({ dbPath, leaseMs: NO_HEARTBEAT_MS, lingerMs: 0 });
    const asleep = Promise.withResolvers<void>();
    const woken = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      asleep.resolve();
      await woken.promise;
      yield* text("after", "said after sleep");
      await aborted;
      yield* text("late", "said after the abort");
    });
    const input = inputOf("thread", "stale-run");
    const staleRun = watch(stale.run({ threadId: "thread", agent, input }));
    await asleep.promise;
    await stale.flush();
    expireLeases(dbPath);
    await runToEnd(openRunner({ dbPath }), "thread", "successor-run", answeringAgent());

    woken.resolve();
    const events = await staleRun.done;
    expect(agent.aborts()).toBe(1);
    expect(typesOf(events).filter((type) => type.startsWith("RUN_"))).toEqual([
      "RUN_STARTED",
      "RUN_ERROR",
    ]);
    expect(events.at(-1)).toMatchObject({ code: "LEASE_LOST" });
    expect(runRows(dbPath, "thread").map((row) => row.run_id)).toEqual([
      "stale-run",
      "successor-run",
    ]);
  });
});
