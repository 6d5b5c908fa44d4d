import "../support/leak-guard.ts";
import { Observable } from "rxjs";
import { describe, expect, test } from "vitest";
import { collect, openRunner, replayOf, spokenIn } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const request = { threadId: "t", input: inputOf("t", "r") };

describe("run returns", () => {
  test("an Observable at once", () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(runner.run({ ...request, agent: answeringAgent() })).toBeInstanceOf(Observable);
  });

  test("the thread counts as running in the tick of the call, before the agent has begun", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    runner.run({ ...request, agent });
    const running = runner.isRunning({ threadId: "t" });
    expect(agent.isStarted()).toBe(false);
    expect(await running).toBe(true);
    expect(runner.stats().activeRuns).toBe(1);
  });

  test("the agent gets the input as it was given, the same object", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    runner.run({ ...request, agent });
    expect(await agent.started).toBe(request.input);
  });
});

describe("the run goes on by itself", () => {
  test("when nobody subscribes", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    runner.run({ ...request, agent });
    await agent.started;
    agent.emit(started(ids), ...text("m", "said to nobody"), finished(ids));
    agent.finish();
    await runner.flush();
    expect(spokenIn(await replayOf(runner, "t"))).toBe("said to nobody");
  });

  test("when its subscribers leave", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const stream = runner.run({ ...request, agent });
    const subscription = stream.subscribe();
    await agent.started;
    agent.emit(started(ids));
    subscription.unsubscribe();
    agent.emit(...text("m", "said to nobody"), finished(ids));
    agent.finish();
    expect(agent.aborts()).toBe(0);
    expect(spokenIn(await collect(stream))).toBe("said to nobody");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("said to nobody");
  });
});

describe("misuse is a TypeError that says what was expected and what was got", () => {
  const agent = answeringAgent();
  const input = inputOf("t", "r");
  const wrong: readonly (readonly [what: string, request: unknown, message: RegExp])[] = [
    ["an empty threadId", { threadId: "", agent, input }, /threadId.*non-empty string.*got ""/],
    ["no threadId", { agent, input }, /threadId.*got undefined/],
    ["a number as threadId", { threadId: 5, agent, input }, /threadId.*got 5/],
    ["no input", { threadId: "t", agent }, /runId.*got undefined/],
    ["an empty runId", { threadId: "t", agent, input: { ...input, runId: "" } }, /runId.*got ""/],
    ["no agent", { threadId: "t", input }, /agent.*runAgent.*got undefined/],
    ["an agent that cannot run", { threadId: "t", agent: {}, input }, /runAgent.*got an object/],
    ["a threadId that UTF-8 cannot hold", { threadId: "\ud800", agent, input }, /threadId/],
    [
      "a runId that UTF-8 cannot hold",
      { threadId: "t", agent, input: { ...input, runId: "a\udc00" } },
      /runId/,
    ],
  ];

  test.each(wrong)("run with %s", async (_, request, message) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const act = () => runner.run(request as Parameters<typeof runner.run>[0]);
    expect(act).toThrow(TypeError);
    expect(act).toThrow(message);
    expect(runner.stats().activeRuns).toBe(0);
  });

  test("connect without a threadId", () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(() => runner.connect({ threadId: "" })).toThrow(TypeError);
    expect(() => runner.connect({} as { threadId: string })).toThrow(/threadId.*got undefined/);
  });
});
