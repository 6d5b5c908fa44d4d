import "../support/leak-guard.ts";
import { config, Observable } from "rxjs";
import { describe, expect, onTestFinished, test } from "vitest";
import { ClientAgent0, ClientAgent1 } from "../support/client-agents.ts";
import {
  collect,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  started,
  text,
} from "../support/scripted-agent.ts";
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

  test("for the store and other subscribers, when a subscriber throws", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const stream = runner.run({ ...request, agent });
    const thrown = Promise.withResolvers<unknown>();
    config.onUnhandledError = thrown.resolve;
    onTestFinished(() => {
      config.onUnhandledError = null;
    });
    const other = watch(stream);
    stream.subscribe(() => {
      throw new Error("a subscriber's own");
    });
    await agent.started;
    agent.emit(started(ids), ...text("m", "all of it"), finished(ids));
    agent.finish();
    expect(await thrown.promise).toMatchObject({ message: "a subscriber's own" });
    expect(spokenIn(await other.done)).toBe("all of it");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("all of it");
  });
});

describe("events reach subscribers", () => {
  test("in the tick in which the agent emits them, as the same objects", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const seen: ScriptEvent[] = [];
    runner.run({ ...request, agent }).subscribe((event) => seen.push(event));
    await agent.started;
    const events = [
      { ...started(ids), input: request.input },
      ...text("m", "one two"),
      { type: "CUSTOM", name: "n", value: { some: "thing" } },
      finished(ids),
    ];
    for (const [index, event] of events.entries()) {
      agent.emit(event);
      expect(seen).toHaveLength(index + 1);
      expect(seen[index]).toBe(event);
    }
    agent.finish();
  });

  test("of any type, known or not, with whatever fields", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request, agent }));
    await agent.started;
    const unknown = { type: "SOMETHING_OF_2031", field: { deep: [1, 2] } };
    agent.emit(started(ids), unknown, finished(ids));
    agent.finish();
    expect((await watched.done)[1]).toBe(unknown);
  });

  test("from the first event, whenever they subscribe: early, in the middle, or after the end", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const stream = runner.run({ ...request, agent });
    const early = watch(stream);
    await agent.started;
    agent.emit(started(ids), ...text("m1", "one"));
    const middle = watch(stream);
    expect(middle.events).toEqual(early.events);
    expect(middle.events).toHaveLength(4);
    agent.emit(...text("m2", "two"), finished(ids));
    agent.finish();
    const all = await early.done;
    expect(await middle.done).toEqual(all);
    expect(await collect(stream)).toEqual(all);
    expect(spokenIn(all)).toBe("onetwo");
  });

  test("once and in order, when a subscriber causes the next event while it gets an event", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const stream = runner.run({ ...request, agent });
    const other = watch(stream);
    stream.subscribe((event) => {
      if ((event as unknown as ScriptEvent).type === "RUN_STARTED") agent.emit(finished(ids));
    });
    await agent.started;
    agent.emit(started(ids));
    agent.finish();
    expect(typesOf(await other.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(typesOf(await collect(stream))).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(typesOf(await replayOf(runner, "t"))).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });
});

describe("agents of the real clients", () => {
  const script = function* ({ input }: { input: { threadId: string; runId: string } }) {
    yield started(input);
    yield* text("m", "hello from a client");
    yield finished(input);
  };
  const agents = [
    ["0.0.59", () => new ClientAgent0(script, { threadId: "t" })],
    ["1.0.0", () => new ClientAgent1(script, { threadId: "t" })],
  ] as const;

  test.each(agents)("an AbstractAgent of @ag-ui/client %s runs and is stored", async (_, make) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const events = await runToEnd(runner, "t", "r", make());
    expect(spokenIn(events)).toBe("hello from a client");
    expect(events.at(-1)).toMatchObject(finished(ids));
    expect(spokenIn(await replayOf(runner, "t"))).toBe("hello from a client");
  });

  test.each(agents)(
    "an AbstractAgent of @ag-ui/client %s that throws gives RUN_ERROR",
    async (_, make) => {
      const runner = openRunner({ dbPath: tempDatabase() });
      const agent = make();
      agent.run = () => {
        throw new Error("no model today");
      };
      const events = await runToEnd(runner, "t", "r", agent);
      expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", message: "no model today" });
    },
  );
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
