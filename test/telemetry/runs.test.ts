import "../support/leak-guard.ts";
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, onTestFinished, test } from "vitest";
import { CHANNELS, type EventTelemetry, withResource } from "../../src/index.ts";
import { fileOfCrash } from "../support/crashed-run.ts";
import { collect, openRunner, runToEnd, typesOf, watch } from "../support/open-runner.ts";
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
import { uncaught } from "../support/uncaught.ts";
import { listen, listenToRuns } from "./listen.ts";

const OVER = ["asyncStart", "asyncEnd"];
const stepsOf = (runId: string, status: string, steps = OVER) => [
  `start ${runId} active`,
  `end ${runId} active`,
  ...steps.map((step) => `${step} ${runId} ${status}`),
];

const withUsage = scriptedAgent(function* ({ input }) {
  yield started(input);
  yield* text("m", "in three words");
  yield { ...finished(input), usage: [{ model: "small", inputTokens: 12, outputTokens: 3 }] };
});

describe("a run is told of by its tracing channel", () => {
  test("from its request to the end of its stream", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const { steps, runs } = listenToRuns();
    const agent = Object.assign(withUsage, { agentId: "counting" });
    const before = Date.now();
    const events = await withResource("ann", () => runToEnd(runner, "t", "r", agent));
    expect(steps).toEqual(stepsOf("r", "finished"));
    expect(runs).toEqual([
      {
        ...{ threadId: "t", runId: "r", agentId: "counting", resourceId: "ann" },
        ...{ isStored: true, isRerun: false, epoch: 1, status: "finished", errorCode: null },
        events: events.length,
        usage: [
          {
            ...{ provider: null, model: "small", inputTokens: 12, outputTokens: 3 },
            ...{ cachedInputTokens: null, cacheWriteInputTokens: null, reasoningTokens: null },
          },
        ],
        requestedAt: expect.any(Number),
        waitedMs: expect.any(Number),
      },
    ]);
    expect(runs[0]?.requestedAt).toBeGreaterThanOrEqual(before);
    expect(runs[0]?.waitedMs).toBeGreaterThanOrEqual(0);
  });

  test("with the error that ended it", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const { steps, runs } = listenToRuns();
    const agent = puppetAgent();
    agent.fail(new Error("the model is away"));
    await runToEnd(runner, "t", "r", agent);
    expect(steps).toEqual(stepsOf("r", "error", ["error", ...OVER]));
    expect(runs[0]?.error).toEqual(new Error("the model is away"));
    expect(runs[0]).toMatchObject({ errorCode: "INCOMPLETE_STREAM", epoch: 1 });
  });

  test("as stopped, however its agent ends", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const { steps } = listenToRuns();
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.stop({ threadId: "t" });
    await run.done;
    expect(steps).toEqual(stepsOf("r", "stopped"));
  });

  test("as an interrupt, when it asks its user", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const { steps } = listenToRuns();
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { ...finished(input), outcome: { type: "interrupt", interrupts: [] } };
    });
    await runToEnd(runner, "t", "r", agent);
    expect(steps).toEqual(stepsOf("r", "interrupt"));
  });

  test("as superseded, in the middle of its work or while it waits", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "supersede" });
    const { steps, runs } = listenToRuns();
    const agent = heldAgent();
    const first = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r1") }));
    await agent.halfway;
    const second = collect(runner.run({ threadId: "t", agent, input: inputOf("t", "r2") }));
    await runToEnd(runner, "t", "r3", answeringAgent());
    await Promise.all([first.done, second]);
    expect(runs.map(({ runId, status }) => `${runId} ${status}`)).toEqual([
      "r1 superseded",
      "r2 superseded",
      "r3 finished",
    ]);
    expect(steps.filter((step) => step.startsWith("asyncEnd"))).toHaveLength(3);
  });

  test.each(["throw", "reject"] as const)(
    "as refused, if its thread is busy: %s",
    async (onConcurrentRun) => {
      const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
      const agent = heldAgent();
      const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r1") }));
      await agent.halfway;
      const { steps, runs } = listenToRuns();
      const request = { threadId: "t", agent: answeringAgent(), input: inputOf("t", "r2") };
      if (onConcurrentRun === "reject") await collect(runner.run(request));
      else expect(() => runner.run(request)).toThrow("Thread already running");
      expect(steps).toEqual(stepsOf("r2", "refused", ["error", ...OVER]));
      expect(runs[0]).toMatchObject({ errorCode: "THREAD_ALREADY_RUNNING", waitedMs: null });
      agent.release();
      await run.done;
    },
  );

  test("as a rerun, after a crash", async () => {
    const dbPath = await fileOfCrash();
    const { steps, runs } = listenToRuns();
    const over = Promise.withResolvers<void>();
    const runner = openRunner({
      dbPath,
      onInterrupted: async (_, { rerun }) => rerun(answeringAgent()).then(over.resolve),
    });
    await runner.ready();
    await over.promise;
    expect(steps).toEqual(stepsOf("r", "finished"));
    expect(runs[0]).toMatchObject({ isRerun: true, status: "finished" });
    expect(runs[0]?.epoch).toBeGreaterThan(1);
  });

  test("as not stored, if storeRun says so", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), storeRun: () => false });
    const { runs } = listenToRuns();
    await runToEnd(runner, "t", "r", answeringAgent());
    expect(runs).toMatchObject([{ isStored: false, epoch: null, status: "finished" }]);
  });
});

test("what a subscriber binds to the start is there for the agent, and not for others", async () => {
  const spans = new AsyncLocalStorage<string>();
  const { start } = tracingChannel<string, { runId: string }>(CHANNELS.run);
  start.bindStore(spans, ({ runId }) => `span of ${runId}`);
  onTestFinished(() => void start.unbindStore(spans));
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "enqueue" });
  const seen: (string | undefined)[] = [];
  const agent = () =>
    scriptedAgent(async function* ({ input }) {
      yield started(input);
      await Promise.resolve();
      seen.push(spans.getStore());
      yield finished(input);
    });
  await Promise.all([
    runToEnd(runner, "t", "r1", agent()),
    runToEnd(runner, "t", "r2", agent()),
    runToEnd(runner, "u", "r3", agent()),
  ]);
  expect(seen.sort()).toEqual(["span of r1", "span of r2", "span of r3"]);
  expect(spans.getStore()).toBe(undefined);
});

test("the events of runs are told in the order of their stream, without a subscriber of the runs", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const told = listen<EventTelemetry>("event");
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  expect(told.map(({ event }) => event.type)).toEqual(typesOf(events));
  expect(told.every(({ run }) => run.runId === "r")).toBe(true);
});

test("a subscriber that throws is an uncaught exception, and changes nothing of the run", async () => {
  const errors = uncaught();
  const runner = openRunner({ dbPath: tempDatabase() });
  const fail = () => {
    throw new Error("of the subscriber");
  };
  for (const name of [`tracing:${CHANNELS.run}:start`, CHANNELS.event, CHANNELS.batch]) {
    subscribe(name, fail);
    onTestFinished(() => void unsubscribe(name, fail));
  }
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(await collect(runner.connect({ threadId: "t" }))).toHaveLength(5);
  expect(errors.length).toBeGreaterThan(events.length);
  expect(new Set(errors.map(String))).toEqual(new Set(["Error: of the subscriber"]));
});
