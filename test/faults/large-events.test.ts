import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn } from "../support/database-file.ts";
import {
  asReplayed,
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = fileURLToPath(new URL("fixtures/large-event.child.ts", import.meta.url));
const MB = 1_000_000;

/** Large strings are compared by hand: the difference between two takes ages to print. */
function expectSame(actual: readonly ScriptEvent[], expected: readonly ScriptEvent[]): void {
  expect(typesOf(actual)).toEqual(typesOf(expected));
  for (const [at, event] of expected.entries()) {
    const { delta, content, ...rest } = event;
    expect(actual[at]).toMatchObject(rest);
    expect(actual[at]?.delta === delta, `delta of event ${at}`).toBe(true);
    expect(actual[at]?.content === content, `content of event ${at}`).toBe(true);
  }
}

describe("an event of 50 MB", () => {
  const large = `${"a word \u00e9 ".repeat(10)}\n`.repeat((50 * MB) / 91);
  const call = { toolCallId: "call", toolCallName: "search" };
  const kinds: readonly (readonly [name: string, events: readonly ScriptEvent[]])[] = [
    [
      "a text delta",
      [
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
        { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: large },
        { type: "TEXT_MESSAGE_END", messageId: "m" },
      ],
    ],
    [
      "the result of a tool call",
      [
        { type: "TOOL_CALL_START", ...call },
        { type: "TOOL_CALL_END", toolCallId: "call" },
        { type: "TOOL_CALL_RESULT", toolCallId: "call", messageId: "m", content: large },
      ],
    ],
  ];

  it.each(kinds)("%s, is stored, and replayed unchanged", async (_, part) => {
    const dbPath = tempDatabase();
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* part;
      yield finished(input);
    });
    const runner = openRunner({ dbPath });
    const live = await runToEnd(runner, "t", "r", agent);
    expectSame(live.slice(1, -1), part);
    await runner.close();
    const again = openRunner({ dbPath });
    expectSame(await replayOf(again, "t"), asReplayed(live));
    const next = await runToEnd(again, "t", "next", answeringAgent());
    expect(next.at(-1)?.type).toBe("RUN_FINISHED");
  });

  it("of a run whose process is killed, is stored when the run is recovered", async () => {
    const dbPath = tempDatabase();
    const child = spawnChild(process.execPath, [CHILD, dbPath, "killed", String(50 * MB)]);
    expect(await nextLine(child)).toBe("stored");
    await child.kill();
    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "t");
    expect(typesOf(replay).slice(2)).toEqual(["CUSTOM", "CUSTOM", "TEXT_MESSAGE_END", "RUN_ERROR"]);
    expect(replay[2]?.value === "x".repeat(50 * MB)).toBe(true);
    expect(replay[3]?.value).toBe("after it");
    expect(replay.at(-1)?.code).toBe("RUN_INTERRUPTED");
    await verifyWithClients(replay);
    await runToEnd(runner, "t", "next", answeringAgent());
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "next"]);
  });
});

describe("an event that is too large for any store", () => {
  interface Became {
    readonly run: (readonly [type: string, length: number])[];
    readonly replay: (readonly [type: string, length: number])[];
    readonly warnings: string[];
  }
  // Longest string: 2 ** 29 - 24 UTF-16 units.
  const kinds: readonly (readonly [kind: string, length: number, stored: number | null])[] = [
    ["sparse array", 2 ** 32 - 1, 999_997],
    ["string", 2 ** 29 - 80, null],
    ["escaped delta", 100 * MB, null],
  ];

  // Each case has a process of its own, which must neither crash nor hang.
  it.each(kinds)(
    "as a %s of length %d is passed on, is logged as lost, and affects no other event",
    async (kind, length, stored) => {
      const child = spawnChild(process.execPath, [CHILD, tempDatabase(), kind, String(length)]);
      const { run, replay, warnings } = JSON.parse(await nextLine(child)) as Became;
      expect(await child.exited).toEqual({ code: 0, stderr: "" });
      const type = kind === "escaped delta" ? "TEXT_MESSAGE_CONTENT" : "CUSTOM";
      expect(run[2]).toEqual([type, length]);
      expect(run.at(-1)?.[0]).toBe("RUN_FINISHED");
      const lost = stored === null ? [] : [[type, stored]];
      expect(replay).toEqual([...run.slice(0, 2), ...lost, ...run.slice(3)]);
      const reason = "they cannot be written as JSON, or are too long";
      expect(warnings).toEqual([`parts of ${type} are not stored: ${reason}`]);
    },
  );
});

/** The file of a process that was killed in the middle of a run on thread "t", after events of so many segments. */
async function fileOfKilledRun(segments: readonly ScriptEvent[]): Promise<string> {
  const dbPath = tempDatabase();
  await using first = new SqliteAgentRunner({ dbPath, durability: "normal" });
  await runToEnd(first, "other", "other", answeringAgent());
  await first.close();
  const db = new Database(dbPath);
  db.exec(`INSERT INTO run_state (thread_id, is_running, current_run_id, owner_id, updated_at, epoch)
           VALUES ('t', 1, 'long', 'an instance that is gone', 0, 1)`);
  const insert = db.prepare(
    "INSERT INTO run_events (thread_id, epoch, seq, events) VALUES ('t', 1, ?, ?)",
  );
  insert.run(0, '[{"type":"RUN_STARTED","threadId":"t","runId":"long"}]');
  for (const [at, event] of segments.entries()) insert.run(at + 1, JSON.stringify([event]));
  db.close();
  return dbPath;
}

it("a run of 280 MB is recovered whole", async () => {
  const value = "x".repeat(140 * MB);
  const parts = ["part 1", "part 2"].map((name) => ({ type: "CUSTOM", name, value }));
  const dbPath = await fileOfKilledRun(parts);
  const runner = openRunner({ dbPath });
  const replay = await replayOf(runner, "t");
  const names = replay.map(({ type, name }) => name ?? type);
  expect(names).toEqual(["RUN_STARTED", "part 1", "part 2", "RUN_ERROR"]);
  expect(replay.at(-1)?.code).toBe("RUN_INTERRUPTED");
  expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
});

it("a text that is longer than any string is recovered up to a limit, and the file opens", async () => {
  const said = { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "x".repeat(140 * MB) };
  const dbPath = await fileOfKilledRun([
    { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
    ...[said, said, said, said],
  ]);
  const runner = openRunner({ dbPath });
  const replay = await replayOf(runner, "t");
  expect(spokenIn(replay).length).toBe(140 * MB);
  expect(replay.at(-1)?.code).toBe("RUN_INTERRUPTED");
  await runToEnd(runner, "t", "next", answeringAgent());
  expect(runIdsIn(await replayOf(runner, "other"))).toEqual(["other"]);
  expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
});

function idsIn(event: ScriptEvent | undefined): string[] {
  const { messages } = (event?.input ?? { messages: [] }) as { messages: { id: string }[] };
  return messages.map(({ id }) => id);
}

it("an input of 100 000 messages, most of them seen before, gives RUN_STARTED only the new messages", async () => {
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const runner = openRunner({ dbPath, logger });
  const ids = Array.from({ length: 100_000 }, (_, at) => `message-${at}`);
  const run = async (runId: string, messages: readonly string[]) => {
    const input = inputOf("t", runId, messages);
    const agent = answeringAgent();
    const events = await watch(runner.run({ threadId: "t", agent, input })).done;
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    // The agent gets all messages, the thread only the new ones.
    expect(agent.inputs[0]?.messages.length).toBe(messages.length);
    return idsIn(events[0]);
  };
  expect(await run("first", ids.slice(0, 99_000))).toEqual(ids.slice(0, 99_000));
  expect(await run("second", [...ids, "answer-first"])).toEqual(ids.slice(99_000));
  expect(await run("third", [...ids].reverse())).toEqual([]);
  const replay = await replayOf(runner, "t");
  const announced = replay.filter(({ type }) => type === "RUN_STARTED").flatMap(idsIn);
  expect(announced).toEqual(ids);
  expect(logger.lines).toEqual([]);
});
