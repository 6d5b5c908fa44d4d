import "../support/leak-guard.ts";
import { AsyncLocalStorage } from "node:async_hooks";
import type { BaseEvent } from "@ag-ui/core";
import { describe, expect, onTestFinished, test } from "vitest";
import { type RunnableAgent, type RunRequest, StoreAgentRunner } from "../../src/index.ts";
import { MemoryDatabase } from "../support/memory-database.ts";
import { MemoryRunStore } from "../support/memory-store.ts";
import { collect, collectingLogger, openRunner } from "../support/open-runner.ts";
import { ignoreAbort, puppetAgent } from "../support/puppet-agent.ts";
import { finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const user = new AsyncLocalStorage<string>();

/** An agent that notes the current user at each of its steps. */
function notingAgent(): RunnableAgent & { readonly seen: (string | undefined)[] } {
  const seen: (string | undefined)[] = [];
  const note = () => void seen.push(user.getStore());
  return {
    seen,
    get agentId() {
      note();
      return "noting";
    },
    async runAgent(input, { onEvent }) {
      note();
      onEvent({ event: started(input) as unknown as BaseEvent });
      await Promise.resolve();
      note();
      onEvent({ event: finished(input) as unknown as BaseEvent });
    },
    abortRun: note,
  };
}

const as = (name: string, agent: RunnableAgent): RunRequest => ({
  threadId: "t",
  agent,
  input: inputOf("t", `run of ${name}`),
});

describe("an agent executes as the user whose request asked for it", () => {
  test.each(["enqueue", "supersede"] as const)(
    "when it had to wait: %s",
    async (onConcurrentRun) => {
      const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
      const first = puppetAgent(ignoreAbort);
      const second = notingAgent();
      const third = notingAgent();
      user.run("Ann", () => runner.run(as("Ann", first)));
      await first.started;
      const streams = [
        user.run("Bea", () => runner.run(as("Bea", second))),
        user.run("Cem", () => runner.run(as("Cem", third))),
      ];
      user.run("Ann", () => {
        first.emit(started({ threadId: "t", runId: "run of Ann" }));
        first.finish();
      });
      await Promise.all(streams.map((stream) => collect(stream)));
      expect(new Set(second.seen)).toEqual(new Set(["Bea"]));
      expect(new Set(third.seen)).toEqual(new Set(["Cem"]));
      expect(third.seen.length).toBeGreaterThan(1);
    },
  );

  test("when it waited for a run of another process", async () => {
    const database = new MemoryDatabase();
    const runnerOf = (onConcurrentRun: "throw" | "enqueue") =>
      new StoreAgentRunner({
        store: new MemoryRunStore(database),
        logger: collectingLogger(),
        onConcurrentRun,
        stopTimeoutMs: 1000,
        closeTimeoutMs: 1000,
        storeInput: "new-messages",
      });
    await using elsewhere = runnerOf("throw");
    await using here = runnerOf("enqueue");
    const first = puppetAgent();
    const firstStream = user.run("Ann", () => elsewhere.run(as("Ann", first)));
    await first.started;
    const second = notingAgent();
    const stream = user.run("Bea", () => here.run(as("Bea", second)));
    user.run("Ann", () => first.finish());
    await Promise.all([collect(firstStream), collect(stream)]);
    expect(new Set(second.seen)).toEqual(new Set(["Bea"]));
  });

  test("when another user or a timer stops it", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), stopTimeoutMs: 0 });
    const aborted: (string | undefined)[] = [];
    const agent = puppetAgent(() => void aborted.push(user.getStore()));
    const ends: (string | undefined)[] = [];
    const stream = user.run("Ann", () => runner.run(as("Ann", agent)));
    stream.subscribe({ next: () => void ends.push(user.getStore()) });
    await agent.started;
    await user.run("Bea", () => runner.stop({ threadId: "t" }));
    await collect(stream);
    expect(aborted).toEqual(["Ann"]);
    expect(new Set(ends)).toEqual(new Set(["Ann"]));
  });

  test("and its log entries are written as that user", async () => {
    const logged: (string | undefined)[] = [];
    const log = () => void logged.push(user.getStore());
    const logger = { debug() {}, info() {}, warn: log, error: log };
    const runner = openRunner({ dbPath: tempDatabase(), stopTimeoutMs: 0, logger });
    const agent = puppetAgent(() => {
      throw new Error("cannot abort");
    });
    const stream = user.run("Ann", () => runner.run(as("Ann", agent)));
    await agent.started;
    await user.run("Bea", () => runner.stop({ threadId: "t" }));
    agent.finish();
    await collect(stream);
    expect(logged).toEqual(["Ann"]);
  });
});

test("the threads of a runner are started in the context of no request", async () => {
  const startedBy: (string | undefined)[] = [];
  const note = () => void startedBy.push(user.getStore());
  process.on("worker", note);
  onTestFinished(() => void process.off("worker", note));
  const runner = openRunner({ dbPath: tempDatabase(), readers: 2 });
  await user.run("Ann", async () => {
    await runner.ready();
    const reads = Array.from({ length: 8 }, () => collect(runner.connect({ threadId: "t" })));
    await Promise.all(reads);
  });
  expect(startedBy).toEqual([undefined, undefined, undefined]);
});

describe("a subscriber of connect is called as the user that connected", () => {
  test("with the history, and with the live events of another user's run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const run = user.run("Ann", () => runner.run(as("Ann", agent)));
    await agent.started;
    const called: (string | undefined)[] = [];
    const firstSeen = Promise.withResolvers<void>();
    const completed = Promise.withResolvers<void>();
    user.run("Bea", () =>
      runner.connect({ threadId: "t" }).subscribe({
        next() {
          called.push(user.getStore());
          firstSeen.resolve();
        },
        complete() {
          called.push(user.getStore());
          completed.resolve();
        },
      }),
    );
    const ids = { threadId: "t", runId: "run of Ann" };
    user.run("Ann", () => agent.emit(started(ids)));
    await firstSeen.promise;
    user.run("Ann", () => {
      agent.emit({ type: "CUSTOM", name: "n", value: 1 }, finished(ids));
      agent.finish();
    });
    await Promise.all([completed.promise, collect(run)]);
    expect(called).toEqual(["Bea", "Bea", "Bea", "Bea"]);
  });
});
