import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { runRows, withDatabase } from "../support/database-file.ts";
import { ignoreWrites, removeTrigger } from "../support/foreign-trigger.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

describe("a write that a foreign trigger makes SQLite ignore", () => {
  test("of a finished run is reported and not acknowledged; the other runs of the batch are stored", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runner.ready();
    ignoreWrites(dbPath, "INSERT ON agent_runs", "NEW.thread_id = 'ruled'");
    const [ruled, free] = await Promise.all([
      runToEnd(runner, "ruled", "r1", answeringAgent()),
      runToEnd(runner, "free", "r2", answeringAgent()),
    ]);
    expect(ruled.at(-1)).toMatchObject({
      type: "RUN_ERROR",
      code: "PERSISTENCE_FAILED",
      message: expect.stringMatching(/ignored the write.*triggers/),
    });
    expect(free.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(runRows(dbPath, "ruled")).toEqual([]);
    expect(runRows(dbPath, "free")).toHaveLength(1);
    await expect(runner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
    await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  });

  test("of a journal ends the run with an error, since a crash would lose its events", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 0, logger: collectingLogger() });
    await runner.ready();
    ignoreWrites(dbPath, "INSERT ON run_events");
    const events = await runToEnd(runner, "t", "r1", heldAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
  });

  test("of a segment that is sent together with the run's end is reported, and the run is not acknowledged", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, maxBatchBytes: 1000 });
    await runner.ready();
    ignoreWrites(dbPath, "INSERT ON run_events", "NEW.events LIKE '%lost%'");
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text("m", "lost".repeat(1000));
      yield finished(input);
    });
    const events = await runToEnd(runner, "t", "r1", agent);
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
    await expect(runner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
    await runToEnd(runner, "t", "r2", answeringAgent());
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toContain("r2");
    // The stored part of the first run ends before the missing segment.
    expect(spokenIn(replay)).toBe("answer to r2");
  });

  test("of the end of an interrupted run is reported; other threads go on, and this thread without the trigger", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath });
    await runToEnd(first, "t", "r1", answeringAgent());
    await first.close();
    withDatabase(dbPath, (db) =>
      db.exec("UPDATE run_state SET is_running = 1, current_run_id = 'r2', owner_id = 'dead'"),
    );
    ignoreWrites(dbPath, "UPDATE ON run_state", "NEW.thread_id = 't'");
    const logger = collectingLogger();
    const second = openRunner({ dbPath, logger });
    const others = await runToEnd(second, "other", "r3", answeringAgent());
    expect(others.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(logger.lines).toMatchObject([
      { level: "error", fields: { code: "STORE_FAILED" }, message: /cannot be ended/ },
    ]);
    const refused = await runToEnd(second, "t", "r4", answeringAgent());
    expect(refused.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "STORE_FAILED" });
    removeTrigger(dbPath);
    const events = await runToEnd(second, "t", "r5", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(runIdsIn(await replayOf(second, "t"))).toEqual(["r1", "r5"]);
  });
});

test.each(["RAISE(IGNORE)", "RAISE(ABORT, 'no')"])(
  "a heartbeat that a foreign trigger refuses with %s is logged once, and ends neither the writer nor a run",
  async (refusal) => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger, leaseMs: 150 });
    await runner.ready();
    withDatabase(dbPath, (db) => {
      db.exec(`CREATE TRIGGER foreign_rule BEFORE UPDATE ON runner_instances
        BEGIN SELECT ${refusal}; END`);
    });
    const failures = () => logger.lines.filter(({ message }) => message.includes("heartbeat"));
    await eventually(() => failures().length > 0);
    for (let at = 0; at < 3; at++) {
      const events = await runToEnd(runner, "t", `r${at}`, answeringAgent());
      expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    }
    expect(failures()).toHaveLength(1);
    expect(logger.lines.filter(({ level }) => level === "error")).toEqual(failures());
  },
);
