import "../support/leak-guard.ts";

import { config, type Subscription } from "rxjs";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EventLike } from "../../src/index.ts";
import { collect, openRunner, replayOf, spokenIn, typesOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { finished, inputOf, type ScriptEvent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const request = { threadId: "t", input: inputOf("t", "r") };
const START = { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };

/** A run whose agent has begun and has emitted nothing, with a subscriber that comes last. */
async function quiet(onConcurrentRun: "throw" | "supersede" = "throw") {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
  const agent = puppetAgent();
  const run = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  await agent.started;
  return { runner, agent, run };
}

describe("an action of a subscriber inside its next does not change the order for the others", () => {
  test("stop: all subscribers and the store see the message begin before the run ends", async () => {
    const { runner, agent, run } = await quiet();
    const first = watch(run);
    run.subscribe((event) => {
      if (event.type === "TEXT_MESSAGE_START") void runner.stop({ threadId: "t" });
    });
    const second = watch(run);
    const follower = watch(runner.connect({ threadId: "t" }));
    // Like an agent that ends at once: the stop ends the run within this call.
    agent.abortRun = () => agent.emit(finished(ids));
    agent.emit(started(ids), START);
    agent.finish();
    const expected = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_FINISHED"];
    expect(typesOf(await second.done)).toEqual(expected);
    expect(typesOf(await first.done)).toEqual(expected);
    await follower.done;
    expect(typesOf(await replayOf(runner, "t"))).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
  });

  test("a superseding run: all subscribers see the same order, and all streams end", async () => {
    const { runner, agent, run } = await quiet("supersede");
    const next = puppetAgent();
    let later: ReturnType<typeof watch> | undefined;
    run.subscribe((event) => {
      if (event.type !== "TEXT_MESSAGE_START") return;
      later = watch(runner.run({ threadId: "t", agent: next, input: inputOf("t", "r2") }));
    });
    const second = watch(run);
    agent.emit(started(ids), START);
    expect(typesOf(await second.done)).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
    await next.started;
    next.finish();
    await later?.done;
  });

  test("further events of the agent: each reaches all subscribers in order and in the same tick", async () => {
    const { runner, agent, run } = await quiet();
    run.subscribe((event) => {
      if (event.type === "RUN_STARTED") agent.emit(...text("m", "one two"));
    });
    const second = watch(run);
    agent.emit(started(ids));
    const expected = ["RUN_STARTED", ...typesOf([...text("m", "one two")])];
    expect(typesOf(second.events)).toEqual(expected);
    // A subscriber that comes in the middle gets all events, once.
    let late: ReturnType<typeof watch> | undefined;
    run.subscribe((event) => {
      if ((event as { name?: string }).name !== "a") return;
      agent.emit({ type: "CUSTOM", name: "b", value: 2 });
      late ??= watch(run);
      agent.emit({ type: "CUSTOM", name: "c", value: 3 });
    });
    agent.emit({ type: "CUSTOM", name: "a", value: 1 });
    const all = [...expected, "CUSTOM", "CUSTOM", "CUSTOM"];
    expect(typesOf(second.events)).toEqual(all);
    expect(typesOf(late?.events ?? [])).toEqual(all);
    expect(second.events.slice(-3).map(({ name }) => name)).toEqual(["a", "b", "c"]);
    agent.emit(finished(ids));
    agent.finish();
    expect(await collect(run)).toEqual(await second.done);
    const names = (await replayOf(runner, "t")).flatMap(({ name }) => name ?? []);
    expect(names).toEqual(["a", "b", "c"]);
  });

  test("unsubscribing itself or another subscriber: these get no more events, the others get all", async () => {
    const { agent, run } = await quiet();
    const seen: string[][] = [[], []];
    const subscriptions: Subscription[] = [];
    const listen = (at: number, event: EventLike) => {
      seen[at]?.push(event.type);
      if (event.type === "TEXT_MESSAGE_START") for (const each of subscriptions) each.unsubscribe();
    };
    subscriptions.push(run.subscribe((event) => listen(0, event)));
    subscriptions.push(run.subscribe((event) => listen(1, event)));
    const third = watch(run);
    agent.emit(started(ids), START, finished(ids));
    agent.finish();
    expect(typesOf(await third.done)).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
    expect(seen).toEqual([["RUN_STARTED", "TEXT_MESSAGE_START"], ["RUN_STARTED"]]);
  });
});

test("an error of a subscriber is reported by RxJS, and the run and the other subscribers go on", async () => {
  const reported = Promise.withResolvers<unknown>();
  config.onUnhandledError = reported.resolve;
  onTestFinished(() => {
    config.onUnhandledError = null;
  });
  const { runner, agent, run } = await quiet();
  run.subscribe(() => {
    throw new Error("of a subscriber");
  });
  const second = watch(run);
  agent.emit(started(ids), ...text("m", "all of it"), finished(ids));
  agent.finish();
  expect(typesOf(await second.done).at(-1)).toBe("RUN_FINISHED");
  expect(await replayOf(runner, "t")).toHaveLength(5);
  expect(await reported.promise).toEqual(new Error("of a subscriber"));
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
});

test("a subscriber gets a long run whole and in order, whenever it subscribes", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = puppetAgent();
  const stream = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  const live = watch(stream);
  await agent.started;
  const emitted: ScriptEvent[] = [];
  const emit = (event: ScriptEvent) => {
    emitted.push(event);
    agent.emit(event);
  };
  emit({ ...started(inputOf("t", "r")), input: inputOf("t", "r") });
  const joined: ReturnType<typeof watch>[] = [];
  for (let at = 1; at <= 5000; at++) {
    const messageId = `m${Math.floor(at / 300)}`;
    if (at % 300 === 299 || at === 5000) emit({ type: "TEXT_MESSAGE_END", messageId });
    else if (at % 300 === 0) emit({ type: "TEXT_MESSAGE_START", messageId, role: "assistant" });
    else if (at % 7 === 0) emit({ type: "CUSTOM", name: "odd", value: { at: BigInt(at) } });
    else emit({ type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${at} `, timestamp: at });
    if (at % 499 === 0) joined.push(watch(stream));
  }
  emit(finished(inputOf("t", "r")));
  // Early subscribers get the same objects. Later subscribers get equal events.
  expect(live.events.length).toBe(emitted.length);
  for (const [at, event] of live.events.entries()) expect(event).toBe(emitted[at]);
  agent.finish();
  await live.done;
  for (const other of joined) expect(await other.done).toEqual(emitted);
  expect(await collect(stream)).toEqual(emitted);
});

test("thousands of subscribers of one run subscribe, get its events and leave", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = puppetAgent();
  const run = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  await agent.started;
  let told = 0;
  const subscriptions = Array.from({ length: 5000 }, () => run.subscribe(() => void told++));
  agent.emit(started({ threadId: "t", runId: "r" }));
  for (const each of subscriptions.slice(1)) each.unsubscribe();
  agent.emit(finished({ threadId: "t", runId: "r" }));
  agent.finish();
  await watch(run).done;
  expect(told).toBe(5001);
});
