import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunnerOptions } from "../../src/index.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { ignoreAbort, type PuppetAgent, puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { onMessage, stall } from "../support/stall.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "t";
const ids = { threadId, runId: "r" };
const stop = { threadId };

async function running(agent: PuppetAgent = puppetAgent(), options: SqliteAgentRunnerOptions = {}) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, ...options });
  const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  agent.emit(started(ids));
  return { dbPath, runner, agent, watched };
}

test("an agent that has ended in time is not cut off, although the process was stalled", async () => {
  const send = onMessage(() => {
    agent.emit(...text("m", "the last words"));
    agent.finish();
  });
  const agent = puppetAgent(send);
  const { runner, watched } = await running(agent, { stopTimeoutMs: 200 });
  expect(await runner.stop(stop)).toBe(true);
  stall(300);
  expect(spokenIn(await watched.done)).toBe("the last words");
});

describe("stop returns false", () => {
  test("for a thread that never ran", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(await runner.stop(stop)).toBe(false);
  });

  test("for a thread whose run is over", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    expect(await runner.stop(stop)).toBe(false);
  });

  test("for a run that is stopping already; its agent is told to abort once", async () => {
    const { runner, agent, watched } = await running(puppetAgent(ignoreAbort));
    expect(await runner.stop(stop)).toBe(true);
    expect(await runner.stop(stop)).toBe(false);
    expect(agent.aborts()).toBe(1);
    agent.finish();
    await watched.done;
    expect(await runner.stop(stop)).toBe(false);
  });

  test("for the id of an earlier run, and the run that executes goes on", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, threadId, "old", answeringAgent());
    const agent = heldAgent();
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "new") }));
    await agent.halfway;
    expect(await runner.stop({ threadId, runId: "old" })).toBe(false);
    expect(agent.aborts()).toBe(0);
    expect(await runner.isRunning({ threadId })).toBe(true);
    expect(await runner.stop({ threadId, runId: "new" })).toBe(true);
    expect(agent.aborts()).toBe(1);
    expect((await run.done).at(-1)).toEqual(finished({ threadId, runId: "new" }));
  });

  test("for another thread than that of the run", async () => {
    const { runner, agent } = await running();
    expect(await runner.stop({ threadId: "t2" })).toBe(false);
    expect(agent.aborts()).toBe(0);
    agent.finish();
  });
});

describe("stop takes effect", () => {
  test("in the tick of the call: the agent is told, and the thread is not running", async () => {
    const { runner, agent, watched } = await running(puppetAgent(ignoreAbort));
    const stopping = runner.stop(stop);
    expect(agent.aborts()).toBe(1);
    const isRunning = runner.isRunning(stop);
    expect(await stopping).toBe(true);
    expect(await isRunning).toBe(false);
    agent.finish();
    await watched.done;
  });

  test("but the thread is not free before the agent has settled, and that end costs the next run nothing", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const halfway = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    const slow = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      halfway.resolve();
      await aborted;
      await mayEnd.promise;
      yield* text("last words", "last words");
    });
    const stopped = watch(runner.run({ threadId, agent: slow, input: inputOf(threadId, "slow") }));
    await halfway.promise;
    expect(await runner.stop({ threadId })).toBe(true);
    expect(await runner.isRunning({ threadId })).toBe(false);
    const early = answeringAgent();
    const runEarly = () =>
      runner.run({ threadId, agent: early, input: inputOf(threadId, "early") });
    expect(runEarly).toThrow(new Error("Thread already running"));
    expect(early.inputs).toEqual([]);

    mayEnd.resolve();
    expect(spokenIn(await stopped.done)).toBe("last words");
    const next = heldAgent();
    const nextRun = watch(runner.run({ threadId, agent: next, input: inputOf(threadId, "next") }));
    await next.halfway;
    // The first run ended long ago, and the second run lost no event by that.
    expect(await runner.isRunning({ threadId })).toBe(true);
    next.release();
    expect((await nextRun.done).at(-1)).toEqual(finished({ threadId, runId: "next" }));
    expect(next.aborts()).toBe(0);
    expect(runRows(dbPath, threadId).map((row) => row.run_id)).toEqual(["slow", "next"]);
  });

  test("on an agent that goes on for a while: its further events are part of the run", async () => {
    const { runner, agent, watched } = await running(puppetAgent(ignoreAbort));
    await runner.stop(stop);
    agent.emit(...text("m", "last words"), finished(ids));
    agent.finish();
    const events = await watched.done;
    expect(spokenIn(events)).toBe("last words");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("last words");
    expect(events.filter(({ type }) => type === "RUN_FINISHED")).toHaveLength(1);
  });

  test("on an agent that rejects because it was aborted: RUN_FINISHED, not RUN_ERROR", async () => {
    const agent: PuppetAgent = puppetAgent(() => agent.fail(new Error("AbortError")));
    const { runner, watched } = await running(agent);
    await runner.stop(stop);
    expect((await watched.done).at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
  });

  test("on the stream: a RUN_FINISHED that names thread and run; later turns are there after a reload", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "stopped") }));
    await agent.halfway;
    expect(await runner.stop({ threadId })).toBe(true);
    const end = { type: "RUN_FINISHED", threadId, runId: "stopped" };
    expect((await run.done).at(-1)).toEqual(end);
    expect(eventsOf(runRows(dbPath, threadId)[0]).at(-1)).toEqual(end);
    await runToEnd(runner, threadId, "second", answeringAgent());
    await runToEnd(runner, threadId, "third", answeringAgent());

    const replay = await replayOf(runner, threadId);
    parseWithSchemas(replay);
    await verifyWithClients(replay);
    for (const { messages } of await reduceWithClients(replay)) {
      expect((messages as { content: unknown }[]).map(({ content }) => content)).toEqual([
        "text of question-stopped",
        "first half, ",
        "text of question-second",
        "answer to second",
        "text of question-third",
        "answer to third",
      ]);
    }
  });

  test("on a run whose agent has not begun: it never begins, and the stream ends with RUN_FINISHED", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    expect(await runner.stop(stop)).toBe(true);
    const events = await watched.done;
    expect(agent.isStarted()).toBe(false);
    expect(events.at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
    await verifyWithClients(events);
  });

  test("on a run that has emitted nothing: a stream that clients accept", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    await runner.stop(stop);
    const events = await watched.done;
    expect(typesOf(events)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    await verifyWithClients(events);
    await verifyWithClients(await replayOf(runner, "t"));
  });
});

describe("an abortRun that throws", () => {
  const throwing = () => {
    throw new Error("cannot abort");
  };

  test("rolls the stop back: false, and the run goes on to its own end", async () => {
    const { runner, agent, watched } = await running(puppetAgent(throwing));
    expect(await runner.stop(stop)).toBe(false);
    expect(await runner.isRunning(stop)).toBe(true);
    agent.emit(...text("m", "still here"), finished(ids));
    agent.finish();
    expect(spokenIn(await watched.done)).toBe("still here");
  });

  test("does not keep a second stop from working", async () => {
    const { runner, agent, watched } = await running(puppetAgent(throwing));
    expect(await runner.stop(stop)).toBe(false);
    expect(await runner.stop(stop)).toBe(false);
    expect(agent.aborts()).toBe(2);
    agent.finish();
    // It was not stopped, and ended without a terminal event.
    expect((await watched.done).at(-1)).toMatchObject({ code: "INCOMPLETE_STREAM" });
  });

  test("starts no timer for a cut-off", async () => {
    const { runner, agent, watched } = await running(puppetAgent(throwing), { stopTimeoutMs: 0 });
    await runner.stop(stop);
    // More turns of the event loop than a cut-off would need.
    await runner.flush();
    agent.emit(...text("m", "not cut off"), finished(ids));
    agent.finish();
    expect(spokenIn(await watched.done)).toBe("not cut off");
  });
});

describe("an agent that ignores the abort", () => {
  test("is cut off after stopTimeoutMs: the run is closed, stored, and its thread free", async () => {
    const agent = puppetAgent(ignoreAbort);
    const { dbPath, runner, watched } = await running(agent, { stopTimeoutMs: 20 });
    agent.emit({ type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" });
    agent.emit({ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "on and on" });
    expect(await runner.stop(stop)).toBe(true);
    const events = await watched.done;
    expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
    expect(events.at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
    expect(spokenIn(eventsOf(runRows(dbPath, "t")[0]))).toBe("on and on");
    expect((await runToEnd(runner, "t", "r2", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
  });

  test("has its late events ignored by its own run, the next run and the store", async () => {
    const agent = puppetAgent(ignoreAbort);
    const { runner, watched } = await running(agent, { stopTimeoutMs: 0 });
    await runner.stop(stop);
    const events = await watched.done;
    const before = [...events];
    agent.emit(...text("late1", "late"), finished(ids));
    const next = puppetAgent();
    const later = watch(runner.run({ threadId: "t", agent: next, input: inputOf("t", "r2") }));
    await next.started;
    agent.emit(...text("late2", "later"), finished(ids));
    agent.fail(new Error("at last"));
    next.emit(started({ threadId: "t", runId: "r2" }), finished({ threadId: "t", runId: "r2" }));
    next.finish();
    await later.done;
    expect(events).toEqual(before);
    expect(typesOf(later.events)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(spokenIn(await replayOf(runner, "t"))).toBe("");
  });

  test("but ends before the timeout keeps its own end", async () => {
    const agent = puppetAgent(ignoreAbort);
    const { runner, watched } = await running(agent, { stopTimeoutMs: 60_000 });
    await runner.stop(stop);
    agent.emit(finished(ids));
    agent.finish();
    expect(typesOf(await watched.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });
});
