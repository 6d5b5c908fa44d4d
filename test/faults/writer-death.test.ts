import "../support/leak-guard.ts";
import { mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { tap } from "rxjs";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { WriterOp, WriterRequest } from "../../src/protocol/messages.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import {
  collect,
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type Script,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { exitOf, threadsStarted } from "../support/threads-started.ts";
import { sabotage, threadsOf } from "../support/watched-pools.ts";

vi.mock("piscina", async (original) => {
  // Mocks come before all imports.
  const { watchPools } = await import("../support/watched-pools.ts");
  return watchPools(await original());
});

const WORDS = 40;
const spokenBy = (runId: string) =>
  Array.from({ length: WORDS }, (_, at) => `${runId}:${at} `).join("");

/** Emits its words over many turns of the event loop, and calls a function after each word. */
function slowAgent(onWord: () => void) {
  const script: Script = async function* ({ input }) {
    yield started(input);
    for (const event of text(`answer-${input.runId}`, spokenBy(input.runId))) {
      yield event;
      onWord();
      await nextTurn();
    }
    // Even if those turns were fast: events that do not linger leave before this timer fires.
    await pause(2);
    yield finished(input);
  };
  return scriptedAgent(script);
}

const expectedTypes = [
  "RUN_STARTED",
  "TEXT_MESSAGE_START",
  ...Array.from({ length: WORDS }, () => "TEXT_MESSAGE_CONTENT"),
  "TEXT_MESSAGE_END",
  "RUN_FINISHED",
];

function errorsIn(logger: { readonly lines: readonly { level: string; fields: object }[] }) {
  return logger.lines.filter(({ level }) => level === "error").map(({ fields }) => fields);
}

describe("a writer that is terminated", () => {
  it.each([
    { lingerMs: 0, everyWords: 300 },
    { lingerMs: 5, everyWords: 500 },
    { lingerMs: 50, everyWords: 700 },
  ])(
    "many times under load loses no run ($lingerMs ms linger)",
    async ({ lingerMs, everyWords }) => {
      const dbPath = tempDatabase();
      const logger = collectingLogger();
      const runner = openRunner({ dbPath, logger, lingerMs });
      let words = 0;
      let kills = 0;
      const agent = slowAgent(() => {
        if (++words % everyWords !== 0) return;
        kills++;
        void terminate(threadsOf("writer"));
      });
      const threads = Array.from({ length: 12 }, (_, at) => `thread-${at}`);
      const runs = ["a", "b", "c", "d"];
      const converse = async (threadId: string) => {
        for (const run of runs) {
          const events = await runToEnd(runner, threadId, `${threadId}-${run}`, agent);
          expect(typesOf(events), JSON.stringify(events.at(-1))).toEqual(expectedTypes);
          expect(runRows(dbPath, threadId).at(-1)?.run_id).toBe(`${threadId}-${run}`);
        }
      };
      await Promise.all(threads.map(converse));
      expect(kills).toBeGreaterThan(1);
      expect(errorsIn(logger)).toEqual(
        errorsIn(logger).map(() =>
          expect.objectContaining({ code: expect.stringMatching(/^(WRITER_DIED|NO_WRITER)$/) }),
        ),
      );
      await runner.close();

      const reopened = openRunner({ dbPath });
      for (const threadId of threads) {
        const runIds = runs.map((run) => `${threadId}-${run}`);
        expect(runRows(dbPath, threadId).map((row) => row.run_id)).toEqual(runIds);
        const replay = await replayOf(reopened, threadId);
        expect(runIdsIn(replay)).toEqual(runIds);
        expect(spokenIn(replay)).toBe(runIds.map(spokenBy).join(""));
      }
      expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
    },
  );

  it.each([
    { lingerMs: 0, words: "journaled in many pieces" },
    { lingerMs: 60_000, words: "stored at once" },
  ])(
    "after each commit, before its answer, stores each run once ($words)",
    async ({ lingerMs }) => {
      let lost = 0;
      const seen = new Set<string>();
      const kinds = new Set<string>();
      // Each batch of operations is committed twice: a resent batch has the same operations.
      sabotage.losesAnswerTo = (request) => {
        const { kind, ops = [] } = request as WriterRequest & { ops?: readonly WriterOp[] };
        if (kind !== "batch" || ops.every((op) => seen.has(JSON.stringify(op)))) return false;
        for (const op of ops) {
          seen.add(JSON.stringify(op));
          kinds.add(op.kind);
        }
        lost++;
        return true;
      };
      onTestFinished(() => {
        sabotage.losesAnswerTo = null;
      });
      const dbPath = tempDatabase();
      const runner = openRunner({ dbPath, lingerMs });
      const agent = slowAgent(() => {});
      const threads = ["t1", "t2", "t3"];
      const converse = async (threadId: string) => {
        for (const run of ["a", "b"]) {
          const events = await runToEnd(runner, threadId, `${threadId}-${run}`, agent);
          expect(typesOf(events), JSON.stringify(events.at(-1))).toEqual(expectedTypes);
        }
      };
      const nothing = scriptedAgent(() => []);
      await Promise.all([...threads.map(converse), runToEnd(runner, "released", "r", nothing)]);
      for (const threadId of threads) {
        const rows = runRows(dbPath, threadId);
        const runIds = [`${threadId}-a`, `${threadId}-b`];
        expect(rows.map((row) => row.run_id)).toEqual(runIds);
        expect(rows.map((row) => spokenIn(eventsOf(row)))).toEqual(runIds.map(spokenBy));
        expect(valueIn(dbPath, "SELECT epoch FROM run_state WHERE thread_id = ?", threadId)).toBe(
          2,
        );
      }
      expect(runRows(dbPath, "released")).toEqual([]);
      expect(lost).toBeGreaterThan(3);
      expect([...kinds].sort()).toEqual([
        ...(lingerMs === 0 ? ["append"] : []),
        "claim",
        "finish",
        "release",
      ]);
      expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
      await runner.close();
    },
  );

  it("after each commit, before its answer, stores each run once although all have the same id", async () => {
    const seen = new Set<string>();
    sabotage.losesAnswerTo = (request) => {
      const { ops = [] } = request as { ops?: readonly WriterOp[] };
      const isNew = ops.some((op) => !seen.has(JSON.stringify(op)));
      for (const op of ops) seen.add(JSON.stringify(op));
      return isNew;
    };
    onTestFinished(() => {
      sabotage.losesAnswerTo = null;
    });
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 0 });
    const threads = ["t1", "t2", "t3"];
    const words = ["one", "two", "three"];
    const converse = async (threadId: string) => {
      for (const word of words) {
        const agent = scriptedAgent(async function* ({ input }) {
          yield started(input);
          yield* text(`${word} of ${threadId}`, word);
          await runner.flush();
          yield finished(input);
        });
        const events = await runToEnd(runner, threadId, "same", agent);
        expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
      }
    };
    await Promise.all(threads.map(converse));
    for (const threadId of threads) {
      const rows = runRows(dbPath, threadId);
      expect(rows.map((row) => spokenIn(eventsOf(row)))).toEqual(words);
      const epoch = "SELECT epoch FROM run_state WHERE thread_id = ?";
      expect(valueIn(dbPath, epoch, threadId)).toBe(words.length);
      const replay = await replayOf(runner, threadId);
      expect(runIdsIn(replay)).toEqual(words.map(() => "same"));
    }
    await runner.close();
  });

  it("is replaced for a run in flight, and the run is stored whole", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.flush();
    await terminateWriter();
    agent.release();
    expect(typesOf(await stream.done)).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_CONTENT",
      "TEXT_MESSAGE_CONTENT",
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
    expect(spokenIn(await replayOf(runner, "t"))).toBe("first half, second half");
    expect(runRows(dbPath, "t").length).toBe(1);
  });

  it("after it committed a segment does not lose the run in flight", async () => {
    const dbPath = tempDatabase();
    let lost = 0;
    sabotage.losesAnswerTo = (request) => {
      const { ops = [] } = request as { ops?: readonly WriterOp[] };
      return ops.some(({ kind }) => kind === "append") && lost++ === 0;
    };
    onTestFinished(() => {
      sabotage.losesAnswerTo = null;
    });
    const runner = openRunner({ dbPath });
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.flush();
    expect(lost).toBe(2);
    expect(agent.aborts()).toBe(0);
    agent.release();
    expect(typesOf(await stream.done).at(-1)).toBe("RUN_FINISHED");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("first half, second half");
  });

  it("while it opens the file is replaced", async () => {
    const dbPath = tempDatabase();
    let killed = 0;
    threadsStarted({
      onStart: (thread) => {
        if (killed === 2 || !threadsOf("writer").includes(thread)) return;
        killed++;
        void thread.terminate();
      },
    });
    const runner = openRunner({ dbPath });
    const events = await runToEnd(runner, "t", "r", answeringAgent());
    expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
    expect(killed).toBe(2);
  });

  it("each time it starts fails a run with a code, and close ends", async () => {
    let killed = 0;
    threadsStarted({
      onStart: (thread) => {
        killed++;
        void thread.terminate();
      },
    });
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = answeringAgent();
    const events = await runToEnd(runner, "t", "r", agent);
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: "WRITER_FAILED" }]);
    expect(agent.inputs).toEqual([]);
    expect(killed).toBeGreaterThanOrEqual(3);
    expect(await replayOf(runner, "t")).toMatchObject([{ type: "RUN_ERROR", code: "WRITER_DIED" }]);
    await runner.flush();
    await runner.close();
  });

  it("between two runs is replaced without an error", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    await runToEnd(runner, "t", "r1", answeringAgent());
    await terminateWriter();
    await runToEnd(runner, "t", "r2", answeringAgent());
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r1", "r2"]);
    expect(errorsIn(logger)).toEqual([]);
    await runner.close();
  });

  it("between two batches is replaced, although its successor cannot open the file at first", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.flush();
    const directory = dirname(dbPath);
    const lock = readdirSync(directory).find((name) => name.includes("-lock-")) ?? "";
    const lockPath = join(directory, lock);
    rmSync(lockPath);
    mkdirSync(lockPath);
    await terminateWriter();
    agent.release();
    const isTriedAgain = () => logger.lines.some(({ message }) => message.includes("tried again"));
    await Promise.race([stream.done, eventually(isTriedAgain)]);
    rmdirSync(lockPath);
    expect(typesOf(await stream.done).at(-1)).toBe("RUN_FINISHED");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("first half, second half");
    const codes = errorsIn(logger).map((fields) => (fields as { code?: string }).code);
    expect(new Set(codes)).toEqual(new Set(["CANNOT_OPEN", "NO_WRITER"]));
    await runner.close();
  });

  it("is replaced between two batches, although an earlier one died when it had just opened the file", async () => {
    let lost = 0;
    sabotage.losesAnswerTo = (request) =>
      (request as WriterRequest).kind === "rewrite-wal" && lost++ === 0;
    onTestFinished(() => {
      sabotage.losesAnswerTo = null;
    });
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, leaseMs: 1000 });
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.flush();
    expect(lost).toBeGreaterThan(0);
    await terminateWriter();
    const beat = "SELECT heartbeat_uptime FROM runner_instances";
    const before = valueIn(dbPath, beat);
    await eventually(() => valueIn(dbPath, beat) !== before);
    agent.release();
    expect(typesOf(await stream.done).at(-1)).toBe("RUN_FINISHED");
  });

  it("does not keep close from storing the waiting runs", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const runs = ["1", "2", "3"].map((n) => runToEnd(runner, n, `r${n}`, answeringAgent()));
    const closed = runner.close();
    await nextTurn();
    await terminateWriter();
    await closed;
    for (const events of await Promise.all(runs)) {
      expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
    }
    expect(["1", "2", "3"].map((n) => runRows(dbPath, n).length)).toEqual([1, 1, 1]);
  });
});

describe("a reader that is terminated", () => {
  const longWord = "x".repeat(1000);
  const RUNS = 6;

  /** A history of several pages. */
  async function storeHistory(dbPath: string): Promise<string> {
    const runner = openRunner({ dbPath });
    let spoken = "";
    for (let run = 0; run < RUNS; run++) {
      const said = Array.from({ length: 60 }, (_, at) => `${run}:${at}:${longWord} `).join("");
      const agent = scriptedAgent(function* ({ input }) {
        yield started(input);
        yield* text(`answer-${run}`, said);
        yield finished(input);
      });
      await runToEnd(runner, "t", `r${run}`, agent);
      spoken += said;
    }
    await runner.close();
    return spoken;
  }

  it("at every run of a connect causes no gap and no duplicate", async () => {
    const dbPath = tempDatabase();
    const spoken = await storeHistory(dbPath);
    const runner = openRunner({ dbPath });
    const killed = new Set<Worker>();
    const replay = runner.connect({ threadId: "t" }).pipe(
      tap(({ type }) => {
        if (type !== "RUN_STARTED") return;
        const readers = threadsOf("reader");
        for (const reader of readers) killed.add(reader);
        void terminate(readers);
      }),
    );
    const events = await collect(replay);
    expect(runIdsIn(events)).toEqual(Array.from({ length: RUNS }, (_, run) => `r${run}`));
    expect(spokenIn(events)).toBe(spoken);
    expect(killed.size).toBeGreaterThan(1);
  });

  it("before it is ready is replaced", async () => {
    const dbPath = tempDatabase();
    const spoken = await storeHistory(dbPath);
    let killed = 0;
    threadsStarted({
      onStart: (thread) => {
        if (killed === 2 || !threadsOf("reader").includes(thread)) return;
        killed++;
        void thread.terminate();
      },
    });
    const runner = openRunner({ dbPath });
    expect(spokenIn(await replayOf(runner, "t"))).toBe(spoken);
    expect(killed).toBe(2);
  });
});

describe("an in-memory database, which exists only in its writer", () => {
  it("ends the runs in flight with a code when its writer dies, and goes on empty", async () => {
    const runner = openRunner({ dbPath: ":memory:" });
    await runToEnd(runner, "t", "before", answeringAgent());
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "during") }));
    await agent.halfway;
    await runner.flush();
    await terminateWriter();
    agent.release();

    const events = await stream.done;
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
    expect(await replayOf(runner, "t")).toEqual([]);
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);

    const after = await runToEnd(runner, "t", "after", answeringAgent());
    expect(typesOf(after).at(-1)).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["after"]);
    await runner.close();
  });
});

async function terminateWriter(): Promise<void> {
  const [writer, ...others] = threadsOf("writer");
  if (writer === undefined || others.length > 0) throw new Error("expected exactly one writer");
  const exit = exitOf(writer);
  await terminate([writer]);
  await exit;
}
