import "../support/leak-guard.ts";
import type { Message } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { version1Files } from "../fixtures/sources.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, type RunRow, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import {
  collect,
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { expectTrueRunCounts } from "../support/version-1.ts";

const CHILD = `${import.meta.dirname}/../support/open-when-told.child.ts`;

const THREADS = [
  "failed-then-continued",
  "frontend-tools",
  "getting-started",
  "interrupts-approval",
  "long",
  "mixed-tool-invocation-integration",
  "open-tool-at-terminal",
  "purged",
  "serialization",
  "state-management",
  "stopped-then-continued",
  "thinking-events",
];

/** Heartbeats, and what is derived from the runs for lists and searches: a runner does that when it has time. */
const LATER = /^(runner_instances|thread_facts|facts_checkpoint|search_ranges|thread_search.*)$/;

/** Every row of every table but those, and the schema itself. */
function dump(dbPath: string): unknown {
  return withDatabase(dbPath, (db) => {
    const schema = db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master").all();
    const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all();
    const rows = tables
      .filter((table) => !LATER.test(String(table)))
      .map((table) => {
        const where = table === "sqlite_sequence" ? "WHERE name <> 'search_ranges'" : "";
        return [table, db.prepare(`SELECT * FROM ${table} ${where}`).all()];
      });
    return { schema, rows };
  });
}

/** The ids that stored runs name: of messages streamed, and of messages in a stored input. */
function idsIn(rows: readonly RunRow[]): Set<unknown> {
  const events = rows.flatMap(eventsOf);
  const inputs = events.flatMap(({ input }) => (input as { messages?: Message[] })?.messages ?? []);
  return new Set([...events.map(({ messageId }) => messageId), ...inputs.map(({ id }) => id)]);
}

/** The messages of a conversation as each client holds them. */
async function messagesOf(events: Parameters<typeof reduceWithClients>[0]): Promise<Message[][]> {
  return (await reduceWithClients(events)).map(({ messages }) => messages as Message[]);
}

describe.each(version1Files)("a file written by version 1, $name", ({ copy: copyOfVersion1 }) => {
  test("is migrated in place, once, with every row unchanged", async () => {
    const dbPath = copyOfVersion1();
    const columns = `SELECT id, thread_id, run_id, parent_run_id, events, input, created_at, version
                       FROM agent_runs ORDER BY id`;
    const allRuns = () => withDatabase(dbPath, (db) => db.prepare(columns).all());
    const before = allRuns();
    const logger = collectingLogger();
    const first = openRunner({ dbPath, logger });
    await replayOf(first, "long");
    await first.close();
    expect(allRuns()).toEqual(before);
    expect(valueIn(dbPath, "SELECT max(version) FROM schema_version")).toBe(SCHEMA_VERSION);
    expectTrueRunCounts(dbPath);
    expect(logger.lines.map(({ message }) => message)).toEqual([
      "migrated a version 1 database in place",
    ]);

    const migrated = dump(dbPath);
    const secondLogger = collectingLogger();
    const second = openRunner({ dbPath, logger: secondLogger });
    await replayOf(second, "long");
    await second.close();
    expect(dump(dbPath)).toEqual(migrated);
    expect(secondLogger.lines).toEqual([]);
  });

  test("its thread that a kill had locked is free again and accepts a run", async () => {
    const dbPath = copyOfVersion1();
    expect(valueIn(dbPath, "SELECT is_running FROM run_state WHERE thread_id = 'killed'")).toBe(1);
    const runner = openRunner({ dbPath });
    expect(await runner.isRunning({ threadId: "killed" })).toBe(false);
    expect(await replayOf(runner, "killed")).toEqual([]);
    const events = await runToEnd(runner, "killed", "after", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(spokenIn(await replayOf(runner, "killed"))).toBe("answer to after");
  });

  test("its purged thread shows the four remaining runs, in order", async () => {
    const runner = openRunner({ dbPath: copyOfVersion1() });
    const replay = await replayOf(runner, "purged");
    expect(runIdsIn(replay)).toEqual([
      "purged-run-221",
      "purged-run-222",
      "purged-run-223",
      "purged-run-224",
    ]);
    expect(spokenIn(replay).match(/kept \d(?= 0)/g)).toEqual([
      "kept 2",
      "kept 3",
      "kept 4",
      "kept 5",
    ]);
  });

  test("its thread of 200 runs is replayed whole", async () => {
    const runner = openRunner({ dbPath: copyOfVersion1() });
    const replay = await replayOf(runner, "long");
    const runIds = Array.from({ length: 200 }, (_, at) => `long-run-${19 + at}`);
    expect(runIdsIn(replay)).toEqual(runIds);
    const answers = spokenIn(replay).match(/answer \d+(?= 0 )/g);
    expect(answers).toEqual(Array.from({ length: 200 }, (_, at) => `answer ${at}`));
  });

  test.each(THREADS)(
    "%s: is replayed as a stream that clients accept, with the messages of its rows",
    async (threadId) => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const replay = await replayOf(runner, threadId);
      await verifyWithClients(replay);
      parseWithSchemas(replay);
      const stored = runRows(dbPath, threadId).flatMap(eventsOf);
      const expected = await messagesOf(stored);
      const shown = await messagesOf(replay);
      // A call that version 1 left open at the terminal event gets an error as its result.
      const added = threadId === "open-tool-at-terminal" ? ["tc-open-result"] : [];
      for (const [at, messages] of shown.entries()) {
        const ids = new Set(added);
        expect(messages.filter(({ id }) => !ids.has(id))).toEqual(expected[at]);
        expect(messages).toHaveLength((expected[at]?.length ?? 0) + added.length);
        expect(messages.length).toBeGreaterThan(0);
      }
    },
  );

  test.each(THREADS)(
    "%s: of a run with the whole history in its input, only the new message is stored",
    async (threadId) => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const [history = []] = await messagesOf(await replayOf(runner, threadId));
      expect(history.length).toBeGreaterThan(0);
      const question: Message = { id: "new-question", role: "user", content: "And now?" };
      const input = { ...inputOf(threadId, "new-run"), messages: [...history, question] };
      const agent = answeringAgent();
      const [first] = await collect(runner.run({ threadId, agent, input }));
      // Of the history, only messages that no stored event or input names are new: messages without an
      // id, and the results that a replay adds for calls that were left open.
      const known = idsIn(runRows(dbPath, threadId).slice(0, -1));
      const unnamed = history.filter(({ id, role }) => !id || (role === "tool" && !known.has(id)));
      const { messages } = (first as unknown as { input: { messages: Message[] } }).input;
      expect(messages).toEqual([...unnamed, question]);
      expect(agent.inputs[0]?.messages).toEqual(input.messages);
      expect(JSON.parse(runRows(dbPath, threadId).at(-1)?.input ?? "")).toMatchObject({
        messages,
      });
      await verifyWithClients(await replayOf(runner, threadId));
    },
  );

  test.each(["long", "purged", "stopped-then-continued", "failed-then-continued"])(
    "%s: only the new message of a run counts as new",
    async (threadId) => {
      const runner = openRunner({ dbPath: copyOfVersion1() });
      const [history = []] = await messagesOf(await replayOf(runner, threadId));
      const ids = [...history.map(({ id }) => id), "new-question"];
      const input = inputOf(threadId, "new-run", ids);
      const [first] = await collect(runner.run({ threadId, agent: answeringAgent(), input }));
      expect(first).toMatchObject({ input: { messages: [{ id: "new-question" }] } });
    },
  );

  test.each([2, 4])("is migrated by one of %i processes that open it at once", async (count) => {
    const dbPath = copyOfVersion1();
    const children = Array.from({ length: count }, () =>
      spawnChild(process.execPath, [CHILD, dbPath, "long"]),
    );
    for (const child of children) expect(await nextLine(child)).toBe("ready");
    for (const child of children) child.process.stdin?.end("go\n");
    for (const child of children) {
      expect(await nextLine(child)).toBe("200 runs");
      expect(await child.exited).toEqual({ code: 0, stderr: "" });
    }
    expect(
      withDatabase(dbPath, (db) =>
        db.prepare("SELECT version FROM schema_version ORDER BY 1").pluck().all(),
      ),
    ).toEqual([1, SCHEMA_VERSION]);
    expectTrueRunCounts(dbPath);
    expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
    expect(valueIn(dbPath, "SELECT count(*) FROM runner_instances")).toBe(0);
  });
});
