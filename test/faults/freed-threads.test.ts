import "../support/leak-guard.ts";
import Database from "better-sqlite3";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { WriterRequest } from "../../src/protocol/messages.ts";
import { verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import { failWrites, ignoreWrites, removeTrigger } from "../support/foreign-trigger.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { sabotage } from "../support/watched-pools.ts";

vi.mock("piscina", async (original) => {
  // Mocks come before all imports.
  const { watchPools } = await import("../support/watched-pools.ts");
  return watchPools(await original());
});

afterEach(() => {
  sabotage.losesAnswerTo = null;
});

/** Two runners on one file, like two processes. */
async function twoRunners(options: { readonly lingerMs?: number } = {}) {
  const dbPath = tempDatabase();
  const owner = openRunner({ dbPath, ...options });
  const other = openRunner({ dbPath });
  await Promise.all([owner.ready(), other.ready()]);
  /** The other runner tries until the thread is free. */
  const takeOver = async (threadId: string) => {
    let attempt = 0;
    await eventually(async () => {
      const events = await runToEnd(other, threadId, `other-${++attempt}`, answeringAgent());
      return events.at(-1)?.type === "RUN_FINISHED";
    });
  };
  return { dbPath, owner, other, takeOver };
}

test("a claim that was committed, but rejected because its answer was lost, frees its thread", async () => {
  const { dbPath, owner, other, takeOver } = await twoRunners();
  const locker = new Database(dbPath);
  onTestFinished(() => void locker.close());
  const hasClaim = (request: unknown) => {
    const { kind, ...batch } = request as WriterRequest;
    return kind === "batch" && "ops" in batch && batch.ops.some((op) => op.kind === "claim");
  };
  sabotage.losesAnswerTo = (request) => {
    if (!hasClaim(request)) return false;
    sabotage.losesAnswerTo = null;
    // No writer can open the file from here on.
    locker.exec("BEGIN IMMEDIATE");
    return true;
  };
  const agent = heldAgent();
  const events = await runToEnd(owner, "t", "refused", agent);
  expect(events).toMatchObject([
    { type: "RUN_ERROR", code: expect.stringMatching(/BUSY|WRITER_DIED|NO_WRITER/) },
  ]);
  expect(agent.inputs).toEqual([]);
  expect(valueIn(dbPath, "SELECT is_running FROM run_state WHERE thread_id = 't'")).toBe(1);
  // No agent executes: isRunning is false, and connect does not wait.
  expect(await owner.isRunning({ threadId: "t" })).toBe(false);
  expect(await replayOf(owner, "t")).toEqual([]);
  locker.exec("COMMIT");
  await takeOver("t");
  expect(await other.isRunning({ threadId: "t" })).toBe(false);
  expect(spokenIn(await replayOf(owner, "t"))).toMatch(/^answer to other-/);
});

describe("a run that can never be stored", () => {
  test("frees its thread, and its client gets an error", async () => {
    const { dbPath, owner, takeOver } = await twoRunners({ lingerMs: 0 });
    ignoreWrites(dbPath, "INSERT ON agent_runs", "NEW.run_id LIKE 'lost%'");
    const events = await runToEnd(owner, "t", "lost", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
    await takeOver("t");
    expect(await owner.isRunning({ threadId: "t" })).toBe(false);
    await expect(owner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
  });

  test("because a segment was not journaled is kept up to that segment, closed with an error", async () => {
    const { dbPath, owner, takeOver } = await twoRunners({ lingerMs: 0 });
    ignoreWrites(dbPath, "INSERT ON run_events", "NEW.seq > 0");
    const more = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      yield* text("first", "journaled");
      await more.promise;
      yield* text("second", "not journaled");
      await aborted;
      yield finished(input);
    });
    const run = watch(owner.run({ threadId: "t", agent, input: inputOf("t", "cut") }));
    await run.until(({ messageId, type }) => messageId === "first" && type === "TEXT_MESSAGE_END");
    await eventually(() => valueIn(dbPath, "SELECT max(seq) FROM run_events") === 0);
    more.resolve();
    expect((await run.done).at(-1)).toMatchObject({
      type: "RUN_ERROR",
      code: "PERSISTENCE_FAILED",
    });
    await takeOver("t");
    const [cut] = runRows(dbPath, "t");
    const stored = eventsOf(cut);
    expect(spokenIn(stored)).toBe("journaled");
    expect(stored.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
  });

  test("because its table rejects it delays neither a connect nor the next run", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "before", answeringAgent());
    failWrites(dbPath, "INSERT ON agent_runs");
    const failed = await runToEnd(runner, "t", "lost", answeringAgent());
    expect(failed.at(-1)).toMatchObject({ code: "PERSISTENCE_FAILED" });
    // The run still holds its thread in the file.
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["before"]);
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
    removeTrigger(dbPath);
    await runToEnd(runner, "t", "after", answeringAgent());
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toEqual(["before", "after"]);
    await verifyWithClients(replay);
    await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  });
});

test("a claim on a restored backup inserts the row of its instance again: no other process takes the thread over", async () => {
  const { dbPath, owner, other } = await twoRunners();
  await runToEnd(owner, "t", "first", answeringAgent());
  // Like the content of a backup, which has no row of this runner.
  withDatabase(dbPath, (db) => db.exec("DELETE FROM runner_instances"));
  const agent = heldAgent();
  const run = watch(owner.run({ threadId: "t", agent, input: inputOf("t", "held") }));
  await agent.halfway;
  const refused = await runToEnd(other, "t", "second", answeringAgent());
  expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }]);
  agent.release();
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
});

test("a run whose thread could not be freed does not delay a connect", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, onConcurrentRun: "supersede" });
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "superseded") }));
  await agent.started;
  agent.emit(started(inputOf("t", "superseded")), ...text("m", "never seen again"));
  await runner.flush();
  failWrites(dbPath, "UPDATE ON run_state");
  // The next run cannot take the thread either.
  const next = await runToEnd(runner, "t", "next", answeringAgent());
  expect(next).toMatchObject([{ type: "RUN_ERROR", code: "STORE_FAILED" }]);
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(await replayOf(runner, "t")).toEqual([]);
  expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  removeTrigger(dbPath);
  await runToEnd(runner, "t", "after", answeringAgent());
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay).at(-1)).toBe("after");
  await verifyWithClients(replay);
});
