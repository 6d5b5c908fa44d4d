import "../support/leak-guard.ts";

import { config, type Subscription } from "rxjs";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EventLike } from "../../src/index.ts";
import { openRunner, replayOf, typesOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
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
    const expected = ["RUN_STARTED", "TEXT_MESSAGE_START", "RUN_FINISHED"];
    expect(typesOf(await second.done)).toEqual(expected);
    expect(typesOf(await first.done)).toEqual(expected);
    await follower.done;
    expect(typesOf(await replayOf(runner, "t"))[0]).toBe("RUN_STARTED");
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
    const { agent, run } = await quiet();
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
    agent.finish();
    await second.done;
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
