import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import {
  type ClaimedRun,
  type ClaimOutcome,
  type ClaimRequest,
  RunStoreError,
  StoreAgentRunner,
} from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { MemoryRunStore } from "../support/memory-store.ts";
import { collect, collectingLogger, spokenIn, typesOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";

const ids = { threadId: "t", runId: "r" };
const request = { threadId: "t", input: inputOf("t", "r") };

function runnerOn(store: MemoryRunStore) {
  const logger = collectingLogger();
  const runner = new StoreAgentRunner({
    store,
    logger,
    onConcurrentRun: "throw",
    stopTimeoutMs: 1000,
    closeTimeoutMs: 1000,
    storeInput: "new-messages",
  });
  return { runner, logger };
}

test.each([
  ["without a store", {}, /expected store to be a RunStore, got undefined/],
  ["with an option that is wrong", { replayRuns: -1 }, /expected replayRuns to be .+, got -1/],
])("a runner %s is refused with a TypeError", (_, options, message) => {
  const store = "replayRuns" in options ? { store: new MemoryRunStore() } : {};
  const make = () => new StoreAgentRunner({ ...store, ...options } as never);
  expect(make).toThrow(TypeError);
  expect(make).toThrow(message);
});

test("a runner needs its store alone: the other options have defaults", async () => {
  const runner = new StoreAgentRunner({ store: new MemoryRunStore() } as never);
  expect(typesOf(await collect(runner.run({ ...request, agent: answeringAgent() }))).at(-1)).toBe(
    "RUN_FINISHED",
  );
  await runner.close();
});

/** A store whose `finish` first executes a function of the test. */
class TroubledStore extends MemoryRunStore {
  readonly #beforeFinish: (onStalled: (error: RunStoreError) => void) => Promise<void>;
  onLost: ((error: RunStoreError) => void) | null = null;

  constructor(beforeFinish: (onStalled: (error: RunStoreError) => void) => Promise<void>) {
    super();
    this.#beforeFinish = beforeFinish;
  }

  override async claim(request: ClaimRequest): Promise<ClaimOutcome> {
    const outcome = await super.claim(request);
    if (outcome.kind === "refused") return outcome;
    this.onLost = request.onLost;
    const { run } = outcome;
    const troubled: ClaimedRun = {
      epoch: run.epoch,
      setInput: (input) => run.setInput(input),
      append: (event) => run.append(event),
      finish: async (onStalled) => {
        await this.#beforeFinish(onStalled);
        await run.finish(onStalled);
      },
      release: () => run.release(),
    };
    return { ...outcome, run: troubled };
  }
}

const diskFull = new RunStoreError("DISK_FULL", "no room left");

test("a runner works on any store that implements the port", async () => {
  const { runner } = runnerOn(new MemoryRunStore());
  const live = await collect(runner.run({ ...request, agent: answeringAgent() }));
  const replayed = await collect(runner.connect({ threadId: "t" }));
  expect(spokenIn(replayed)).toBe(spokenIn(live));
  expect([...new Set(typesOf(replayed))]).toEqual([...new Set(typesOf(live))]);
  await runner.close();
});

describe("a run that cannot be committed", () => {
  test("for a while: its stream ends with RUN_ERROR PERSISTENCE_FAILED, and it is stored later", async () => {
    const repaired = Promise.withResolvers<void>();
    const store = new TroubledStore(async (onStalled) => {
      onStalled(diskFull);
      await repaired.promise;
    });
    const { runner, logger } = runnerOn(store);
    const events = await collect(runner.run({ ...request, agent: answeringAgent() }));
    expect(typesOf(events).slice(-2)).toEqual(["RUN_FINISHED", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({ code: "PERSISTENCE_FAILED" });
    expect(events.at(-1)?.message).toContain("no room left");
    await verifyWithClients(events);
    expect(logger.lines.some(({ level }) => level === "error")).toBe(true);
    expect((await store.readHistory("t", null)).segments).toEqual([]);
    // The run is not in the store, but a connecting client still sees it.
    expect(typesOf(await collect(runner.connect({ threadId: "t" })))).toContain("TEXT_MESSAGE_END");
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
    repaired.resolve();
    await runner.close();
  });

  test("ever: its stream ends with RUN_ERROR PERSISTENCE_FAILED", async () => {
    const store = new TroubledStore(async () => {
      throw new RunStoreError("CORRUPT", "the file is broken");
    });
    const { runner } = runnerOn(store);
    const events = await collect(runner.run({ ...request, agent: answeringAgent() }));
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
  });

  test("after the agent's own RUN_ERROR: there is no second RUN_ERROR, which clients reject", async () => {
    const store = new TroubledStore(async () => {
      throw new RunStoreError("CORRUPT", "the file is broken");
    });
    const { runner } = runnerOn(store);
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request, agent }));
    await agent.started;
    agent.emit(started(ids));
    agent.fail(new Error("lost the model"));
    const events = await watched.done;
    expect(typesOf(events)).toEqual(["RUN_STARTED", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({ message: "lost the model" });
    await verifyWithClients(events);
  });

  test("the stream completes once, whatever the store reports later", async () => {
    const store = new TroubledStore(async (onStalled) => {
      onStalled(diskFull);
      onStalled(diskFull);
      throw diskFull;
    });
    const { runner } = runnerOn(store);
    const events = await collect(runner.run({ ...request, agent: answeringAgent() }));
    expect(events.filter(({ type }) => type === "RUN_ERROR")).toHaveLength(1);
  });
});

describe("a run in flight whose thread was taken over", () => {
  test("is told to abort, and ends with RUN_ERROR LEASE_LOST; later events are ignored", async () => {
    const store = new TroubledStore(async () => {
      throw new RunStoreError("LEASE_LOST", "taken over");
    });
    const { runner } = runnerOn(store);
    const agent = puppetAgent(() => undefined);
    const watched = watch(runner.run({ ...request, agent }));
    await agent.started;
    agent.emit(started(ids));
    store.onLost?.(new RunStoreError("LEASE_LOST", "taken over"));
    expect(agent.aborts()).toBe(1);
    agent.emit(finished(ids));
    const events = await watched.done;
    expect(typesOf(events)).toEqual(["RUN_STARTED", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({ code: "LEASE_LOST" });
  });
});

test("when the store cannot be read, the run and the replay end with its code", async () => {
  class Unreachable extends MemoryRunStore {
    override async claim(): Promise<never> {
      throw new RunStoreError("IO_ERROR", "the disk is gone");
    }
    override async readHistory(): Promise<never> {
      throw new Error("a plain error");
    }
  }
  const { runner } = runnerOn(new Unreachable());
  const agent = answeringAgent();
  expect(await collect(runner.run({ ...request, agent }))).toEqual([
    { type: "RUN_ERROR", code: "IO_ERROR", message: "the disk is gone" },
  ]);
  expect(agent.inputs).toEqual([]);
  expect(await collect(runner.connect({ threadId: "t" }))).toEqual([
    { type: "RUN_ERROR", code: "STORE_FAILED", message: "a plain error" },
  ]);
});
