import "../support/leak-guard.ts";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import { openRunner, replayOf, typesOf } from "../support/open-runner.ts";
import { tempDatabase } from "../support/temp-file.ts";

const UNCLOSED = join(import.meta.dirname, "children/unclosed.ts");

/** Runs a process that never closes its runner until it ends by itself, or the test's time is up. */
async function endOf(scenario: string, dbPath: string) {
  const child = spawnChild(process.execPath, [UNCLOSED, scenario, dbPath]);
  const { value } = await child.lines.next();
  const { code, stderr } = await child.exited;
  return { said: value as string | undefined, code, stderr };
}

describe("a process whose runner is never closed", () => {
  test.each([
    ["file", tempDatabase],
    ["database in memory", () => ":memory:"],
  ])("ends by itself when the runner was never used: %s", async (_, path) => {
    expect(await endOf("unused", path())).toEqual({ said: undefined, code: 0, stderr: "" });
  });

  test.each([
    ["file", tempDatabase],
    ["database in memory", () => ":memory:"],
  ])("ends by itself when the runner is idle after a run and a replay: %s", async (_, path) => {
    expect(await endOf("idle", path())).toEqual({ said: "idle", code: 0, stderr: "" });
  });

  test("does not end before a run is stored, even if no caller waits for the run", async () => {
    const dbPath = tempDatabase();
    expect(await endOf("unwritten run", dbPath)).toMatchObject({ code: 0, stderr: "" });
    expect(typesOf(eventsOf(runRows(dbPath, "t")[0]))).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });

  test("does not end before lingering events are journaled; the next runner ends their run", async () => {
    const dbPath = tempDatabase();
    expect(await endOf("unwritten events", dbPath)).toMatchObject({ code: 0, stderr: "" });
    const runner = openRunner({ dbPath });
    expect(await replayOf(runner, "t")).toEqual([
      expect.objectContaining({ type: "RUN_STARTED" }),
      { type: "CUSTOM", name: "n", value: "the last of them" },
      expect.objectContaining({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" }),
    ]);
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  });
});
