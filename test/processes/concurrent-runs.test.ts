import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner, SqliteAgentRunnerOptions } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { runRows, valueIn } from "../support/database-file.ts";
import { delta, opening, says } from "../support/message-events.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import type { OnAbort } from "../support/runner.child.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
/** Longer than a busy machine stalls: the processes of these tests live. */
const leaseMs = 3000;

/** A thread that a run of another process holds, and a runner here that waits for it. */
async function heldElsewhere(
  onConcurrentRun: NonNullable<SqliteAgentRunnerOptions["onConcurrentRun"]>,
  onAbort: OnAbort = "end",
) {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath, leaseMs, stopTimeoutMs: 60_000 });
  const run = owner.run("t", "r", { onAbort });
  await run.emit(started(ids), opening("m"), delta("m", "theirs"));
  await owner.flush();
  const here = openRunner({ dbPath, leaseMs, onConcurrentRun, closeTimeoutMs: 0 });
  const finish = async () => {
    await run.emit(finished(ids));
    await run.finish();
  };
  return { dbPath, owner, run, finish, here };
}

function runHere(here: SqliteAgentRunner, runId: string, agent = answeringAgent()) {
  return watch(here.run({ threadId: "t", agent, input: inputOf("t", runId) }));
}

/** A run that was started while another process holds the thread, after its first claim was refused. */
async function waitingHere(here: SqliteAgentRunner, runId: string) {
  const agent = puppetAgent();
  const run = watch(here.run({ threadId: "t", agent, input: inputOf("t", runId) }));
  await here.flush();
  return { agent, run };
}

describe("a run on a thread that another process runs", () => {
  test.each(["throw", "reject"] as const)('is refused with RUN_ERROR for "%s"', async (option) => {
    const { run, finish, here } = await heldElsewhere(option);
    const refused = await runHere(here, "r2").done;
    expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }]);
    await finish();
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect((await runHere(here, "r3").done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["r", "r3"]);
  });

  test.each(["end", "ignore", "throw"] as const)(
    'takes its place for "supersede", whatever its agent does when told to abort: %s',
    async (onAbort) => {
      const { dbPath, run, here } = await heldElsewhere("supersede", onAbort);
      const follower = watch(here.connect({ threadId: "t" }));
      await follower.until(says("theirs"));
      const next = await runHere(here, "next").done;
      expect(next.at(-1)?.type).toBe("RUN_FINISHED");

      const events = await run.done;
      expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
      expect(await run.aborts()).toBe(1);
      expect(await follower.done).toEqual(asReplayed(events));
      await verifyWithClients(follower.events);
      expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["next"]);
      expect(spokenIn(await replayOf(here, "t"))).toBe("answer to next");
    },
  );

  test('takes the place of one that was stopped and goes on, for "supersede"', async () => {
    const { dbPath, run, here } = await heldElsewhere("supersede", "ignore");
    expect(await here.stop({ threadId: "t" })).toBe(true);
    expect((await runHere(here, "next").done).at(-1)?.type).toBe("RUN_FINISHED");
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["next"]);
  });

  test('waits for it for "enqueue", and several that wait keep their order', async () => {
    const { run, finish, here } = await heldElsewhere("enqueue");
    const first = await waitingHere(here, "first");
    const others = ["second", "third"].map((runId) => runHere(here, runId));
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    expect(first.agent.isStarted()).toBe(false);
    await finish();
    await first.agent.started;
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    first.agent.emit(started({ threadId: "t", runId: "first" }));
    first.agent.emit(...text("a", "first"), finished({ threadId: "t", runId: "first" }));
    expect(others.flatMap(({ events }) => events)).toEqual([]);
    first.agent.finish();
    for (const other of others) expect((await other.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["r", "first", "second", "third"]);
  });

  test("that waits starts when the process is killed, after the stored part of the killed run", async () => {
    const { owner, here } = await heldElsewhere("enqueue");
    const { agent, run } = await waitingHere(here, "next");
    await owner.kill();
    await agent.started;
    agent.finish();
    await run.done;
    const replay = await replayOf(here, "t");
    expect(runIdsIn(replay)).toContain("r");
    expect(replay).toContainEqual(expect.objectContaining({ code: "RUN_INTERRUPTED" }));
  });

  test("that waits and is stopped does not begin, and is stored as stopped", async () => {
    const { run, finish, here } = await heldElsewhere("enqueue");
    const waiting = await waitingHere(here, "next");
    expect(await here.stop({ threadId: "t", runId: "other" })).toBe(false);
    expect(await here.stop({ threadId: "t", runId: "next" })).toBe(true);
    // The run of the other process goes on.
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    await finish();
    expect(typesOf(await waiting.run.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(waiting.agent.isStarted()).toBe(false);
    // Only the waiting run was stopped.
    expect(await run.aborts()).toBe(0);
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["r", "next"]);
  });

  test("that waits starts when the executing run is stopped: a stop without an id means the executing run", async () => {
    const { run, here } = await heldElsewhere("enqueue");
    const waiting = await waitingHere(here, "next");
    expect(await here.stop({ threadId: "t" })).toBe(true);
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    await waiting.agent.started;
    waiting.agent.finish();
    await waiting.run.done;
    expect(runIdsIn(await replayOf(here, "t"))[0]).toBe("r");
  });

  test("that waits when its runner is closed is refused, and the executing run goes on", async () => {
    const { dbPath, run, finish, here } = await heldElsewhere("enqueue");
    const waiting = await waitingHere(here, "next");
    await here.close();
    expect(await waiting.run.done).toMatchObject([{ type: "RUN_ERROR", code: "RUNNER_CLOSED" }]);
    expect(waiting.agent.isStarted()).toBe(false);
    await finish();
    expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["r"]);
  });
});

describe('runs of two runners of one process, for "supersede"', () => {
  test("with supersede, the last request gets the thread, although the other run ends at the same moment", async () => {
    const dbPath = tempDatabase();
    const one = openRunner({ dbPath });
    const other = openRunner({ dbPath, onConcurrentRun: "supersede" });
    for (let round = 0; round < 10; round++) {
      const agent = puppetAgent();
      const runId = `held-${round}`;
      const held = watch(one.run({ threadId: "t", agent, input: inputOf("t", runId) }));
      await agent.started;
      agent.emit(started({ threadId: "t", runId }));
      const waiting = await waitingHere(other, `waiting-${round}`);
      await held.done;
      // The thread is free, whether the waiting run has noticed that or not.
      const last = await runHere(other, `last-${round}`).done;
      expect(last.at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: `last-${round}` });
      expect((await waiting.run.done).at(-1)?.type).toBe("RUN_FINISHED");
    }
    const stored = runRows(dbPath, "t").map((row) => row.run_id);
    expect(stored).toEqual(Array.from({ length: 10 }, (_, round) => `last-${round}`));
    expect(valueIn(dbPath, "SELECT sum(is_running) FROM run_state")).toBe(0);
  });

  test("a run may have the id of a superseded run, and is not confused with it", async () => {
    const dbPath = tempDatabase();
    const one = openRunner({ dbPath, lingerMs: 0 });
    const other = openRunner({ dbPath, onConcurrentRun: "supersede" });
    await other.ready();
    const agent = puppetAgent();
    const superseded = watch(one.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), ...text("m", "superseded"));
    await one.flush();
    await runHere(other, "next").done;
    await superseded.done;
    expect(valueIn(dbPath, "SELECT count(*) FROM retained_journals")).toBe(1);

    const again = puppetAgent();
    const run = watch(one.run({ threadId: "t", agent: again, input: inputOf("t", "r") }));
    await again.started;
    const follower = watch(other.connect({ threadId: "t" }));
    expect(await other.isRunning({ threadId: "t" })).toBe(true);
    again.emit(started(ids), ...text("m2", "once more"), finished(ids));
    again.finish();
    await run.done;
    expect(spokenIn(await follower.done)).toBe("answer to nextonce more");
    expect(spokenIn(await replayOf(one, "t"))).toBe("answer to nextonce more");
  });
});
