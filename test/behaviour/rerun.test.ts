import "../support/leak-guard.ts";
import { AsyncLocalStorage } from "node:async_hooks";
import type { RunAgentInput } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import { type InterruptedRun, StoreAgentRunner, withResource } from "../../src/index.ts";
import { InertRunStore } from "../../src/store/worker-threads/inert-run-store.ts";
import { ClientAgent0, ClientAgent1 } from "../support/client-agents.ts";
import { fileOfCrash, journaledIn, offersIn } from "../support/crashed-run.ts";
import { codeOf, offeredIn, openHandling } from "../support/handled-runs.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptContext,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

describe("rerun", () => {
  test("gives the agent the input of the run, with other props and another run id if wanted", async () => {
    const state = { theme: "dark" };
    const tools = [{ name: "look", description: "looks", parameters: { type: "object" } }];
    const context = [{ description: "where", value: "here" }];
    const forwardedProps = { token: "secret" };
    const dbPath = await fileOfCrash({ state, tools, context, forwardedProps });
    const { run, rerun, release } = await openHandling(dbPath);
    const expected = { ...inputOf("t", "r"), state, tools, context, forwardedProps: {} };
    expect(run.input).toEqual(expected);
    const agent = answeringAgent();
    await rerun(agent, { forwardedProps: { token: "new" }, runId: "again" });
    expect(agent.inputs).toEqual([
      { ...expected, runId: "again", forwardedProps: { token: "new" } },
    ]);
    release();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test.each([
    ["0.0.59", ClientAgent0],
    ["1.x", ClientAgent1],
  ])("gives an AbstractAgent of @ag-ui/client %s the input too, in a clone", async (_, Agent) => {
    const state = { theme: "dark" };
    const dbPath = await fileOfCrash({ state });
    const { runner, run, rerun, release } = await openHandling(dbPath);
    const inputs: RunAgentInput[] = [];
    const script = function* ({ input }: ScriptContext) {
      inputs.push(input);
      yield started(input);
      yield finished(input);
    };
    // One agent for all users, which knows no thread: what a server has.
    const agent = new Agent(script, { threadId: "another" });
    await rerun(agent);
    release();
    expect(inputs).toMatchObject([{ ...ids, state, messages: run.input.messages }]);
    expect(run.input.messages).not.toEqual([]);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "r"]);
    expect(agent).toMatchObject({ threadId: "another", messages: [], state: {} });
  });

  test('gives the agent the forwardedProps that were stored with storeInput: "full"', async () => {
    const forwardedProps = { model: "large" };
    const dbPath = await fileOfCrash({ forwardedProps, storeInput: "full" });
    const { rerun, release } = await openHandling(dbPath);
    const agent = answeringAgent();
    await rerun(agent);
    expect(agent.inputs[0]).toEqual({ ...inputOf("t", "r"), forwardedProps });
    release();
  });

  test("resolves when the agent has failed, which is the end of the run, and is logged", async () => {
    const dbPath = await fileOfCrash();
    const { runner, logger, rerun, release } = await openHandling(dbPath);
    await rerun(
      scriptedAgent(function* ({ input }) {
        yield started(input);
        throw new Error("no model");
      }),
    );
    release();
    expect((await replayOf(runner, "t")).at(-1)).toMatchObject({
      ...{ type: "RUN_ERROR", message: "no model" },
    });
    expect(logger.lines).toContainEqual({
      level: "warn",
      fields: { ...ids, code: "INCOMPLETE_STREAM", message: "no model" },
      message: "a rerun ended with an error",
    });
    await runner.close();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test("can be stopped, and is over then", async () => {
    const dbPath = await fileOfCrash();
    const { runner, rerun, release } = await openHandling(dbPath);
    const agent = puppetAgent();
    const over = rerun(agent);
    await agent.started;
    agent.emit(started(ids));
    expect(await runner.isRunning({ threadId: "t" })).toBe(true);
    expect(await runner.stop({ threadId: "t", runId: "r" })).toBe(true);
    await over;
    release();
    expect((await replayOf(runner, "t")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await runner.close();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test("is refused when it was called before", async () => {
    const dbPath = await fileOfCrash();
    const { runner, rerun, release } = await openHandling(dbPath);
    const agent = puppetAgent();
    const first = rerun(agent);
    expect(await codeOf(rerun(answeringAgent()))).toBe("THREAD_ALREADY_RUNNING");
    await agent.started;
    agent.emit(started(ids), finished(ids));
    agent.finish();
    await first;
    expect(await codeOf(rerun(answeringAgent()))).toBe("THREAD_ALREADY_RUNNING");
    release();
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "r"]);
  });

  test.each(["throw", "enqueue", "supersede"] as const)(
    "is refused while a user's run has the thread, and when it is over: %s",
    async (onConcurrentRun) => {
      const dbPath = await fileOfCrash();
      const { runner, logger, rerun, release } = await openHandling(dbPath, { onConcurrentRun });
      const agent = puppetAgent();
      const user = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "user") }));
      await agent.started;
      expect(await codeOf(rerun(answeringAgent()))).toBe("THREAD_ALREADY_RUNNING");
      expect(agent.aborts()).toBe(0);
      agent.emit(started({ threadId: "t", runId: "user" }));
      agent.finish();
      await user.done;
      expect(await codeOf(rerun(answeringAgent()))).toBe("THREAD_ALREADY_RUNNING");
      release();
      expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "user"]);
      expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
    },
  );

  test("has no effect after the handler has ended without it", async () => {
    const dbPath = await fileOfCrash();
    const { runner, rerun, release } = await openHandling(dbPath);
    release();
    await eventually(() => offersIn(dbPath) === 0);
    expect(await codeOf(rerun(answeringAgent()))).toBe("THREAD_ALREADY_RUNNING");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
  });

  test("rejects misuse with a TypeError", async () => {
    const { rerun, release } = await openHandling(await fileOfCrash());
    await expect(rerun({} as never)).rejects.toThrow(TypeError);
    await expect(rerun(answeringAgent(), { runId: "" })).rejects.toThrow(TypeError);
    release();
  });
});

describe("onInterrupted", () => {
  test("need not wait for the rerun, whose refusal ends no process", async () => {
    const dbPath = await fileOfCrash();
    const reruns: Promise<void>[] = [];
    const runner = openRunner({
      dbPath,
      onInterrupted(_, { rerun }) {
        for (let at = 0; at < 2; at++) void rerun(answeringAgent());
        reruns.push(rerun(answeringAgent()));
      },
    });
    await runner.ready();
    await eventually(() => reruns.length === 1);
    expect(await codeOf(Promise.all(reruns))).toBe("THREAD_ALREADY_RUNNING");
    await eventually(async () => runIdsIn(await replayOf(runner, "t")).length === 2);
    await runner.close();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test("is called in the context in which the runner was made, within the run's resource", async () => {
    const dbPath = await fileOfCrash({ resourceId: "ann" });
    const requests = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const agent = scriptedAgent(function* ({ input }) {
      seen.push(requests.getStore());
      yield started(input);
      yield finished(input);
    });
    const over = Promise.withResolvers<void>();
    const runner = requests.run("app", () =>
      openRunner({
        ...{ dbPath, resources: "required" },
        async onInterrupted({ resourceId }, { rerun }) {
          seen.push(requests.getStore(), resourceId);
          seen.push(runIdsIn(await replayOf(runner, "t")));
          await requests.run("handler", () => withResource("bob", () => rerun(agent)));
          over.resolve();
        },
      }),
    );
    await requests.run("request", () => withResource("bob", () => runner.ready()));
    await over.promise;
    expect(seen).toEqual(["app", "ann", ["r"], "handler"]);
    const replay = withResource("ann", () => replayOf(runner, "t"));
    expect(runIdsIn(await replay)).toEqual(["r", "r"]);
    expect(await withResource("bob", () => replayOf(runner, "t"))).toEqual([]);
  });

  test("is not waited for by close, and the run goes to the next runner", async () => {
    const dbPath = await fileOfCrash();
    const { runner, logger, run, rerun, release } = await openHandling(dbPath);
    expect(run.attempt).toBe(1);
    await runner.close();
    expect(await codeOf(rerun(answeringAgent()))).toBe("RUNNER_CLOSED");
    release();
    expect(await offeredIn(dbPath)).toMatchObject([{ threadId: "t", attempt: 2 }]);
    expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("is called no more than maxReruns times for one run", async () => {
    const dbPath = await fileOfCrash();
    const { runner, release } = await openHandling(dbPath, { maxReruns: 1 });
    await runner.close();
    release();
    const logger = collectingLogger();
    const runs: InterruptedRun[] = [];
    const next = openRunner({
      ...{ dbPath, logger, maxReruns: 1 },
      onInterrupted: (run) => void runs.push(run),
    });
    await next.ready();
    const message = "an interrupted run is given up: its reruns crash, too";
    await eventually(() => logger.lines.some((line) => line.message === message));
    expect(runs).toEqual([]);
    await next.close();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test("changes nothing for runs that end as they should", async () => {
    const dbPath = tempDatabase();
    const runs: InterruptedRun[] = [];
    const runner = openRunner({ dbPath, onInterrupted: (run) => void runs.push(run) });
    await runToEnd(runner, "t", "r1", answeringAgent());
    const agent = puppetAgent();
    const { done } = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r2") }));
    await agent.started;
    await runner.stop({ threadId: "t" });
    await done;
    const silent = scriptedAgent(function* () {
      throw new Error("failed at once");
      // biome-ignore lint/correctness/noUnreachable: makes this a generator of events.
      yield finished(ids);
    });
    await runToEnd(runner, "t", "r3", silent);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r1", "r2"]);
    await runner.close();
    expect(runs).toEqual([]);
    expect(await offeredIn(dbPath)).toEqual([]);
    expect(journaledIn(dbPath)).toBe(0);
  });

  test("needs a store that offers interrupted runs", () => {
    const onInterrupted = () => undefined;
    const options = { store: new InertRunStore(), onInterrupted } as never;
    const make = () => new StoreAgentRunner(options);
    expect(make).toThrow(TypeError);
    expect(make).toThrow("does not offer interrupted runs");
  });
});
