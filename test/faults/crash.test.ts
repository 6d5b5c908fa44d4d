import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { type Child, nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = `${import.meta.dirname}/../support/killed-run.child.ts`;

/** A process that was killed in the middle of a run, when all its events were in the file. */
async function killMidRun(dbPath: string): Promise<Child> {
  const child = spawnChild(process.execPath, [CHILD, dbPath, "thread", "killed-run"]);
  expect(await nextLine(child)).toBe("stored");
  await child.kill();
  return child;
}

describe("a process that is killed in the middle of a run", () => {
  test("pitfall 1: its thread is free again when the file is opened", async () => {
    const dbPath = tempDatabase();
    await killMidRun(dbPath);
    const isRunning = "SELECT is_running FROM run_state WHERE thread_id = 'thread'";
    expect(valueIn(dbPath, isRunning)).toBe(1);

    const runner = openRunner({ dbPath });
    expect(await runner.isRunning({ threadId: "thread" })).toBe(false);
    const events = await runToEnd(runner, "thread", "next-run", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: "next-run" });
    expect(runIdsIn(await replayOf(runner, "thread"))).toEqual(["killed-run", "next-run"]);
    await runner.close();
    expect(valueIn(dbPath, isRunning)).toBe(0);
  });

  test("pitfall 2: keeps the events of its run, with one terminal event", async () => {
    const dbPath = tempDatabase();
    await killMidRun(dbPath);
    expect(runRows(dbPath, "thread")).toEqual([]);

    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "thread");
    expect(spokenIn(replay)).toBe("one two three");
    expect(replay[0]).toMatchObject({
      type: "RUN_STARTED",
      runId: "killed-run",
      input: { messages: [{ id: "question-killed-run" }] },
    });
    expect(typesOf(replay).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    expect(replay.at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
    await verifyWithClients(replay);
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  });
});

describe("a writer whose lease ran out while it was suspended", () => {
  /** Like the file after another process found the runner dead: without its row. */
  function expireLeases(dbPath: string): void {
    withDatabase(dbPath, (db) => {
      const { changes } = db.prepare("DELETE FROM runner_instances").run();
      expect(changes).toBe(1);
    });
  }

  // So long that the suspended runner writes no heartbeat during the test.
  const leaseMs = 2 ** 31 - 1;

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
    const stale = openRunner({ dbPath, leaseMs });
    const sleeper = sleepingAgent();
    const input = inputOf("thread", "stale-run");
    const staleRun = watch(stale.run({ threadId: "thread", agent: sleeper.agent, input }));
    await sleeper.asleep;
    await stale.flush();
    expireLeases(dbPath);
    return { dbPath, stale, sleeper, staleRun };
  }

  test("pitfall 24: is refused, and does not overwrite the run that was recovered", async () => {
    const { dbPath, stale, sleeper, staleRun } = await sleepPastTheLease();

    const successor = openRunner({ dbPath });
    await runToEnd(successor, "thread", "successor-run", answeringAgent());
    const before = runRows(dbPath, "thread");
    expect(before.map((row) => row.run_id)).toEqual(["stale-run", "successor-run"]);
    expect(eventsOf(before[0]).at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });

    sleeper.wake();
    expect((await staleRun.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    expect(runRows(dbPath, "thread")).toEqual(before);
    expect(spokenIn(await replayOf(successor, "thread"))).toBe(
      "said before sleepanswer to successor-run",
    );
    expect(spokenIn(await replayOf(stale, "thread"))).not.toContain("after sleep");
  });

  test("pitfall 24: is refused, and does not overwrite the run that has the thread now", async () => {
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

  test("pitfall 24: a run that was stored only by its completion is refused as well", async () => {
    const dbPath = tempDatabase();
    // No event is journaled before the end: all events come with the completion.
    const stale = openRunner({ dbPath, leaseMs, lingerMs: 60_000 });
    const sleeper = sleepingAgent();
    const input = inputOf("thread", "stale-run");
    const staleRun = watch(stale.run({ threadId: "thread", agent: sleeper.agent, input }));
    await sleeper.asleep;
    expireLeases(dbPath);
    const successor = openRunner({ dbPath });
    await runToEnd(successor, "thread", "successor-run", answeringAgent());

    sleeper.wake();
    expect((await staleRun.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    expect(runIdsIn(await collect(successor.connect({ threadId: "thread" })))).toEqual([
      "successor-run",
    ]);
  });

  test("pitfall 24: has its agent told to abort when the agent goes on emitting", async () => {
    const dbPath = tempDatabase();
    const stale = openRunner({ dbPath, leaseMs, lingerMs: 0 });
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
