import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { compactRun } from "../../src/events/compact/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { ReplayRepair } from "../../src/events/repair/repair.ts";
import { conversations, version1Files } from "../fixtures/sources.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "./clients.ts";

function repaired(
  threadId: string,
  runs: readonly { runId: string; events: readonly EventLike[] }[],
) {
  const out: EventLike[] = [];
  const repair = new ReplayRepair(threadId, (event) => out.push(event));
  for (const { runId, events } of runs) {
    repair.startRun(runId);
    for (const event of events) repair.next(event);
    repair.endRun();
  }
  return out;
}

describe.each(conversations)("conversations, $name", ({ turns }) => {
  for (const { scenario, turn, input, events } of turns) {
    test(`${scenario}, turn ${turn}: stored and replayed, a client sees the same`, async () => {
      const state = input.state ?? {};
      const stored = compactRun(events, { state });
      expect(stored.length).toBeLessThanOrEqual(events.length);
      const replayed = repaired("t", [{ runId: "r", events: stored }]);
      await verifyWithClients(replayed);
      parseWithSchemas(replayed);
      const before = { messages: [], state };
      expect(await reduceWithClients(replayed, before)).toEqual(
        await reduceWithClients(events, before),
      );
    });
  }
});

describe.each(version1Files)("a file written by version 1, $name", ({ copy }) => {
  interface Row {
    readonly thread_id: string;
    readonly run_id: string;
    readonly events: string;
  }

  function readThreads(): Map<string, { runId: string; events: EventLike[] }[]> {
    const database = new Database(copy(), { readonly: true });
    try {
      const sql = "SELECT thread_id, run_id, events FROM agent_runs ORDER BY id";
      const threads = Map.groupBy(database.prepare(sql).all() as Row[], (row) => row.thread_id);
      return new Map(
        [...threads].map(([threadId, rows]) => [
          threadId,
          rows.map((row) => ({
            runId: row.run_id,
            events: JSON.parse(row.events) as EventLike[],
          })),
        ]),
      );
    } finally {
      database.close();
    }
  }

  test("replays every thread as a stream that clients accept", async () => {
    for (const [threadId, runs] of readThreads()) {
      const replayed = repaired(threadId, runs);
      await verifyWithClients(replayed);
      parseWithSchemas(replayed);
      for (const event of runs.flatMap((run) => run.events)) {
        if (event.type !== "RUN_FINISHED") expect(replayed).toContain(event);
      }
    }
  });

  test("has thread and run id in the RUN_FINISHED of a stopped run", () => {
    const threadId = "stopped-then-continued";
    const runs = readThreads().get(threadId) ?? [];
    const ends = repaired(threadId, runs).filter((event) => event.type === "RUN_FINISHED");
    expect(ends).toEqual(runs.map(({ runId }) => ({ type: "RUN_FINISHED", threadId, runId })));
  });

  test("replays the runs after a run that failed", () => {
    const threadId = "failed-then-continued";
    const runs = readThreads().get(threadId) ?? [];
    expect(repaired(threadId, runs)).toEqual(runs.flatMap((run) => run.events));
  });

  test("replays a tool call that was open at the terminal event before that event", () => {
    const threadId = "open-tool-at-terminal";
    const runs = readThreads().get(threadId) ?? [];
    const types = repaired(threadId, runs.slice(0, 1)).map((event) => event.type);
    expect(types).toEqual([
      "RUN_STARTED",
      "TOOL_CALL_START",
      "TOOL_CALL_ARGS",
      "TOOL_CALL_END",
      "TOOL_CALL_RESULT",
      "RUN_FINISHED",
    ]);
  });
});
