import "../support/leak-guard.ts";
import { readdirSync, readlinkSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { queryObjects, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { SqliteAgentRunner, type SqliteAgentRunnerOptions } from "../../src/index.ts";
import { runRows } from "../support/database-file.ts";
import { activeResources } from "../support/leak-guard.ts";
import {
  collect,
  collectingLogger,
  replayOf,
  runToEnd,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  heldAgent,
  inputOf,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { exitOf, threadsStarted } from "../support/threads-started.ts";

/** Descriptors of this process on the database and the files beside it. Only Linux lists them. */
function openFilesOf(dbPath: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(dbPath) ? [path] : [];
    } catch {
      // Closed meanwhile, like the descriptor of the listing itself.
      return [];
    }
  });
}

type Use = (runner: SqliteAgentRunner) => Promise<unknown>;

const uses: readonly { readonly name: string; readonly use: Use }[] = [
  { name: "nothing was done", use: async () => {} },
  { name: "a run", use: (runner) => runToEnd(runner, "t", "r", answeringAgent()) },
  {
    name: "runs and replays",
    async use(runner) {
      for (const runId of ["1", "2", "3"]) await runToEnd(runner, "t", runId, answeringAgent());
      await Promise.all(["t", "t", "unknown"].map((threadId) => replayOf(runner, threadId)));
      await runner.isRunning({ threadId: "t" });
    },
  },
  {
    name: "a run that had to be stopped",
    async use(runner) {
      const agent = heldAgent();
      const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
      await agent.halfway;
      void stream.done.catch(() => undefined);
    },
  },
  {
    name: "a run whose agent never ends",
    async use(runner) {
      const agent = scriptedAgent(async function* ({ input }) {
        yield started(input);
        await new Promise<never>(() => {});
      });
      const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
      await stream.until(({ type }) => type === "RUN_STARTED");
    },
  },
  {
    name: "a replay that nobody waited for",
    async use(runner) {
      await runToEnd(runner, "t", "r", answeringAgent());
      runner.connect({ threadId: "t" }).subscribe().unsubscribe();
    },
  },
];

describe("closing a runner after", () => {
  describe.each(uses)("$name", ({ use }) => {
    it.each(["a file", ":memory:"])("leaves no thread and no open file (%s)", async (where) => {
      const dbPath = where === ":memory:" ? where : tempDatabase();
      const threads = threadsStarted();
      const timeouts = { closeTimeoutMs: 50, stopTimeoutMs: 1500 };
      const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger(), ...timeouts });
      await use(runner);
      const exits = [...threads].map((thread) => [thread, exitOf(thread)] as const);
      const used = use !== uses[0]?.use;
      if (where !== ":memory:" && used) {
        expect(openFilesOf(dbPath)).not.toEqual([]);
      }
      await runner.close();
      for (const [thread, exit] of exits) if (thread.threadId !== -1) await exit;
      expect(threads.length > 0).toBe(used);
      expect(openFilesOf(dbPath)).toEqual([]);
      expect(typesOf(await runToEnd(runner, "t", "late", answeringAgent()))).toEqual(["RUN_ERROR"]);
    });
  });

  it("its file could not be opened leaves no open file", async () => {
    const dbPath = tempDirectory();
    const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
    await runToEnd(runner, "t", "r", answeringAgent());
    await runner.close();
    expect(openFilesOf(dbPath)).toEqual([]);
  });

  it("its writer was terminated leaves no open file", async () => {
    const dbPath = tempDatabase();
    const threads = threadsStarted();
    const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
    await runToEnd(runner, "t", "1", answeringAgent());
    await terminate(threads);
    await runToEnd(runner, "t", "2", answeringAgent());
    await runner.close();
    expect(openFilesOf(dbPath)).toEqual([]);
  });

  it("another runner was opened on the same file does not affect that runner", async () => {
    const dbPath = tempDatabase();
    const options = { dbPath, logger: collectingLogger() };
    const first = new SqliteAgentRunner(options);
    const second = new SqliteAgentRunner(options);
    await runToEnd(first, "t", "1", answeringAgent());
    await runToEnd(second, "t", "2", answeringAgent());
    await first.close();
    await runToEnd(second, "t", "3", answeringAgent());
    await second.close();
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["1", "2", "3"]);
    expect(openFilesOf(dbPath)).toEqual([]);
  });
});

it("an idle runner does not keep the event loop alive", async () => {
  const before = activeResources();
  await using runner = new SqliteAgentRunner({ dbPath: tempDatabase() });
  await runToEnd(runner, "t", "r", answeringAgent());
  await replayOf(runner, "t");
  const added = () =>
    [...activeResources()].filter(([kind, count]) => count > (before.get(kind) ?? 0));
  // Objects that are being released take a turn or two. A leak stays until the test times out.
  while (added().length > 0) await nextTurn();
  expect(added()).toEqual([]);
});

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

it("finished threads leave no memory in use", async () => {
  const THREADS = 1000;
  const options: SqliteAgentRunnerOptions = { dbPath: tempDatabase(), durability: "normal" };
  await using runner = new SqliteAgentRunner(options);
  // Agents and first events represent everything that a run holds in memory.
  const refs: WeakRef<object>[] = [];
  const runThread = async (at: number) => {
    const agent = answeringAgent();
    const events = await collect(
      runner.run({ threadId: `thread-${at}`, agent, input: inputOf(`thread-${at}`, `run-${at}`) }),
    );
    expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
    refs.push(new WeakRef(agent), new WeakRef(events[0] as object), new WeakRef(events));
  };
  const setsBefore = queryObjects(Set, { format: "count" });
  for (let at = 0; at < THREADS; at += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, n) => runThread(at + n)));
  }
  expect(refs.length).toBe(3 * THREADS);
  expect(runner.stats()).toMatchObject({ activeRuns: 0, queueDepth: 0, queueBytes: 0 });
  const alive = () => refs.filter((ref) => ref.deref() !== undefined).length;
  // A few may still be on the stack, or in the last batch.
  for (let round = 0; round < 50 && alive() > 0; round++) {
    await nextTurn();
    collectGarbage();
  }
  expect(alive()).toBeLessThan(5);
  // A remembered thread has a Set of its runs: an idle thread must have none.
  expect(queryObjects(Set, { format: "count" }) - setsBefore).toBeLessThan(THREADS / 2);
});

it("a thousand more idle threads, each with a finished run, take no memory", async () => {
  await using runner = new SqliteAgentRunner({ dbPath: tempDatabase(), durability: "normal" });
  let threads = 0;
  const runThousand = async () => {
    for (let batch = 0; batch < 10; batch++) {
      const runs = Array.from({ length: 100 }, () => {
        const threadId = `thread-${threads++}`;
        return runToEnd(runner, threadId, `run of ${threadId}`, answeringAgent());
      });
      for (const events of await Promise.all(runs)) {
        expect(events.at(-1)?.type === "RUN_FINISHED").toBe(true);
      }
    }
  };
  const heapBytes = async () => {
    for (let round = 0; round < 10; round++) {
      await nextTurn();
      collectGarbage();
    }
    return process.memoryUsage().heapUsed;
  };
  // After these, everything that is made once or compiled by the engine is there.
  for (let round = 0; round < 3; round++) await runThousand();
  const before = await heapBytes();
  await runThousand();
  const bytesPerThread = ((await heapBytes()) - before) / 1000;
  // Even an id in a Map would take more.
  expect(bytesPerThread).toBeLessThan(100);
});

it("a client that leaves a run in flight leaves no memory in use, and the others get the rest", async () => {
  await using runner = new SqliteAgentRunner({ dbPath: tempDatabase(), durability: "normal" });
  const agent = heldAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.halfway;
  const stays = watch(runner.connect({ threadId: "t" }));
  await stays.until(({ type }) => type === "TEXT_MESSAGE_CONTENT");
  const CLIENTS = 50;
  const refs: WeakRef<object>[] = [];
  const comeAndGo = async () => {
    const got: unknown[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const client = runner.connect({ threadId: "t" }).subscribe((event) => {
      got.push(event);
      if (event.type === "TEXT_MESSAGE_CONTENT") resolve();
    });
    await promise;
    client.unsubscribe();
    refs.push(new WeakRef(got), new WeakRef(client));
  };
  for (let at = 0; at < CLIENTS; at++) await comeAndGo();
  const alive = () => refs.filter((ref) => ref.deref() !== undefined).length;
  for (let round = 0; round < 50 && alive() > 0; round++) {
    await nextTurn();
    collectGarbage();
  }
  // A few may still be on the stack.
  expect(alive()).toBeLessThan(5);
  agent.release();
  expect(typesOf(await stays.done).at(-1)).toBe("RUN_FINISHED");
  expect(typesOf(await run.done).at(-1)).toBe("RUN_FINISHED");
});
