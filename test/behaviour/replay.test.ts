import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { withDatabase } from "../support/database-file.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";

describe("the replay of a thread", () => {
  test("to an unknown thread completes without events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(await replayOf(runner, "never heard of")).toEqual([]);
  });

  test("shows each run of the thread in order, and no run of another thread", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    for (const runId of ["r1", "r2", "r3"]) await runToEnd(runner, "t", runId, answeringAgent());
    await runToEnd(runner, "t2", "other", answeringAgent());
    const events = await replayOf(runner, "t");
    expect(runIdsIn(events)).toEqual(["r1", "r2", "r3"]);
    expect(spokenIn(events)).toBe("answer to r1answer to r2answer to r3");
    await verifyWithClients(events);
    parseWithSchemas(events);
  });

  test("shows a run compacted: the same messages in fewer events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text("m", "a b c d e f g h i j k l m n o p q r s t u v w x y z");
      yield finished(input);
    });
    const live = await runToEnd(runner, "t", "r", agent);
    const replay = await replayOf(runner, "t");
    expect(replay.length).toBeLessThan(live.length / 2);
    expect(await reduceWithClients(replay)).toEqual(await reduceWithClients(live));
  });

  test("gives the same events to every client, at once or later", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    const stream = runner.connect({ threadId: "t" });
    const [a, b] = await Promise.all([collect(stream), collect(stream)]);
    expect(a).toEqual(b);
    expect(await replayOf(runner, "t")).toEqual(a);
    expect(a).not.toEqual([]);
  });

  test("shows runs that another runner stored in the file before", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath });
    await runToEnd(first, "t", "r", answeringAgent());
    const before = await replayOf(first, "t");
    await first.close();
    expect(await replayOf(openRunner({ dbPath }), "t")).toEqual(before);
  });
});

test("runs of the same or a wrong time are replayed in the order in which they were stored", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const runIds = ["c", "a", "d", "b"];
  for (const runId of runIds) await runToEnd(runner, threadId, runId, answeringAgent());
  const setTimes = (sql: string) => withDatabase(dbPath, (db) => db.exec(sql));

  setTimes("UPDATE agent_runs SET created_at = 1795376217485");
  expect(runIdsIn(await replayOf(runner, threadId))).toEqual(runIds);
  // The clock was set back while they were made.
  setTimes("UPDATE agent_runs SET created_at = 1795376217485 - id");
  expect(runIdsIn(await replayOf(runner, threadId))).toEqual(runIds);
});

test("a purge of runs by another program takes those runs from the replay, and no others", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (let at = 1; at <= 6; at++) {
    await runToEnd(runner, threadId, `run-${at}`, answeringAgent());
  }
  withDatabase(dbPath, (db) => {
    const old = Date.now() - 31 * 24 * 60 * 60 * 1000;
    db.prepare("UPDATE agent_runs SET created_at = ? WHERE run_id IN ('run-1', 'run-2')").run(old);
    const cutoff = Date.now() - 30 * 24 * 60 * 60 * 1000;
    db.prepare("DELETE FROM agent_runs WHERE created_at < ?").run(cutoff);
  });
  const replay = await replayOf(runner, threadId);
  expect(runIdsIn(replay)).toEqual(["run-3", "run-4", "run-5", "run-6"]);
  expect(spokenIn(replay)).toBe("answer to run-3answer to run-4answer to run-5answer to run-6");
  await runToEnd(runner, threadId, "run-7", answeringAgent());
  expect(runIdsIn(await replayOf(runner, threadId))).toHaveLength(5);
});

describe("what a replay emits passes verifyEvents of both clients", () => {
  const parts: readonly (readonly [what: string, events: readonly ScriptEvent[]])[] = [
    ["a delta without its start", [{ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "a" }]],
    ["an end without its start", [{ type: "TOOL_CALL_END", toolCallId: "c" }]],
    [
      "a message that is never closed",
      [{ type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" }],
    ],
    ["a step that is never closed", [{ type: "STEP_STARTED", stepName: "s" }]],
    [
      "the same message started twice",
      [
        ...text("m", "a"),
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
      ],
    ],
    ["an event of an unknown type", [{ type: "WHO_KNOWS" }]],
    [
      "a delta of state that does not fit",
      [{ type: "STATE_DELTA", delta: [{ op: "replace", path: "/no/such", value: 1 }] }],
    ],
    [
      "events without their fields",
      [{ type: "TEXT_MESSAGE_START" }, { type: "TOOL_CALL_START" }, { type: "STEP_FINISHED" }],
    ],
  ];

  test.each(parts)("after %s", async (_, events) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* events;
      yield finished(input);
    });
    await runToEnd(runner, "t", "r1", agent);
    await runToEnd(runner, "t", "r2", answeringAgent());
    const replay = await replayOf(runner, "t");
    await verifyWithClients(replay);
    expect(runIdsIn(replay)).toEqual(["r1", "r2"]);
    expect(spokenIn(replay)).toContain("answer to r2");
  });

  test("after a run without RUN_STARTED", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(
      runner,
      "t",
      "r1",
      scriptedAgent(function* ({ input }) {
        yield* text("m", "no start");
        yield finished(input);
      }),
    );
    await runToEnd(runner, "t", "r2", answeringAgent());
    const replay = await replayOf(runner, "t");
    await verifyWithClients(replay);
    expect(runIdsIn(replay)).toEqual(["r1", "r2"]);
  });
});
