import "../support/leak-guard.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished } from "vitest";
import type { RunStoreError } from "../../src/index.ts";
import { toFault } from "../../workers/sqlite/database/fault.ts";
import { runRows } from "../support/database-file.ts";
import { closing, delta, opening } from "../support/message-events.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const WORD = "word ".repeat(200);

/** Takes the write lock like another process. */
function lock(dbPath: string): () => void {
  const db = new Database(dbPath, { timeout: 5000 });
  onTestFinished(() => void db.close());
  db.exec("BEGIN IMMEDIATE");
  return () => void db.exec("COMMIT");
}

describe("a write lock that another program holds", () => {
  it("delays only storing", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    await runToEnd(runner, "t", "before", answeringAgent());
    const agent = heldAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "during") }));
    await agent.halfway;
    const unlock = lock(dbPath);
    agent.release();
    await stream.until(({ type }) => type === "RUN_FINISHED");
    // Longer than one statement waits: the batch fails, and is sent again.
    await eventually(() => runner.stats().lastError !== null);
    expect(runner.stats().lastError).toMatchObject({
      code: "BUSY",
    } satisfies Partial<RunStoreError>);
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["before"]);
    unlock();
    expect(typesOf(await stream.done).at(-1)).toBe("RUN_FINISHED");
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["before", "during"]);
    await runner.close();
  });

  it("is waited for while a file is opened", async () => {
    const dbPath = tempDatabase();
    await openRunner({ dbPath }).close();
    const unlock = lock(dbPath);
    const runner = openRunner({ dbPath });
    const stream = watch(
      runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "r") }),
    );
    // When another runner has opened the file and answered, this runner would have had its answer too.
    expect(await replayOf(openRunner({ dbPath: ":memory:" }), "t")).toEqual([]);
    expect(stream.events).toEqual([]);
    unlock();
    expect(typesOf(await stream.done).at(-1)).toBe("RUN_FINISHED");
    await runner.close();
  });
});

// SQLite waits ten seconds before it says so.
it("a lock that a suspended process holds on the WAL's index counts as a lock", () => {
  const error = new Database.SqliteError("locking protocol", "SQLITE_PROTOCOL");
  expect(toFault(error)).toMatchObject({ code: "BUSY" });
});

describe("more than maxPendingBytes that is not written yet: QUEUE_FULL", () => {
  it("ends a run that goes on emitting when too much waits and nothing is written; its events are kept", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, maxPendingBytes: 20_000, lingerMs: 1 });
    const agent = puppetAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), opening("m"));
    await runner.flush();
    const unlock = lock(dbPath);
    while (runner.stats().queueBytes <= 20_000) agent.emit(delta("m", WORD));
    // One burst is no reason to end a run: the writer had no time. Now it has time, but cannot write.
    while (!typesOf(stream.events).includes("RUN_ERROR")) {
      agent.emit(delta("m", WORD));
      await nextTurn();
    }
    const said = spokenIn(stream.events);
    const waiting = runner.stats().queueBytes;
    for (let at = 0; at < 100; at++) agent.emit(delta("m", WORD));
    expect(runner.stats().queueBytes).toBe(waiting);
    unlock();
    expect((await stream.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "QUEUE_FULL" });
    const replay = await replayOf(runner, "t");
    expect(spokenIn(replay)).toBe(said);
    expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "QUEUE_FULL" });
    await runner.flush();
    await runner.close();
  });

  it("refuses new runs with QUEUE_FULL when too much waits, and lets the runs in flight go on", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, maxPendingBytes: 20_000, lingerMs: 1 });
    const agent = puppetAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), opening("m"));
    await runner.flush();
    const unlock = lock(dbPath);
    while (runner.stats().queueBytes <= 20_000) agent.emit(delta("m", WORD));
    const refused = await runToEnd(runner, "other", "refused", answeringAgent());
    expect(refused).toEqual([
      { type: "RUN_ERROR", code: "QUEUE_FULL", message: expect.any(String) },
    ]);
    const before = stream.events.length;
    agent.emit(delta("m", WORD));
    expect(stream.events.length).toBe(before + 1);
    unlock();
    await runner.flush();
    expect(runner.stats().queueBytes).toBe(0);
    const accepted = await runToEnd(runner, "other", "accepted", answeringAgent());
    expect(typesOf(accepted).at(-1)).toBe("RUN_FINISHED");
    agent.emit(closing("m"), finished(ids));
    agent.finish();
    const words = (await stream.done).filter(({ delta }) => delta === WORD).length;
    expect(spokenIn(await replayOf(runner, "t"))).toBe(WORD.repeat(words));
    await runner.close();
  });

  it("rejects new runs only until it is written", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), maxPendingBytes: 1, lingerMs: 60_000 });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids));
    const refused = await runToEnd(runner, "t2", "r2", answeringAgent());
    expect(refused).toEqual([
      { type: "RUN_ERROR", code: "QUEUE_FULL", message: expect.stringMatching(/\S/) },
    ]);
    agent.emit(finished(ids));
    agent.finish();
    await watched.done;
    expect((await runToEnd(runner, "t2", "r2", answeringAgent())).at(-1)?.type).toBe(
      "RUN_FINISHED",
    );
  });
});
