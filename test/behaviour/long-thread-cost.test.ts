import "../support/leak-guard.ts";
import { MessagePort } from "node:worker_threads";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { WriterRequest } from "../../src/protocol/messages.ts";
import type { PortRequest } from "../../src/protocol/port-messages.ts";
import { claim } from "../../workers/sqlite/runs/claim.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";

const RUNS = 2000;

/** A file with a thread "long" of 2000 runs, each with a snapshot of 1 KB of state. */
async function fileWithLongThread(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "long", "run-0", answeringAgent());
  await runner.close();
  withDatabase(dbPath, (db) => {
    const insertRun = db.prepare(
      `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
       VALUES ('long', ?, ?, '{}', 1, 2, 1)`,
    );
    const insertMessage = db.prepare(
      "INSERT INTO thread_messages (thread_id, message_id) VALUES ('long', ?)",
    );
    db.transaction(() => {
      insertMessage.run("answer-run-0");
      for (let at = 1; at < RUNS; at++) {
        const snapshot = { filler: "x".repeat(1000) };
        const messageId = `answer-run-${at}`;
        const events = [
          { type: "RUN_STARTED", threadId: "long", runId: `run-${at}` },
          { type: "STATE_SNAPSHOT", snapshot },
          { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
          { type: "TEXT_MESSAGE_END", messageId },
          { type: "RUN_FINISHED", threadId: "long", runId: `run-${at}` },
        ];
        insertRun.run(`run-${at}`, JSON.stringify(events));
        insertMessage.run(messageId);
      }
      // Between two moments at which the latest runs are indexed.
      db.exec(`UPDATE threads SET run_count = ${RUNS - 5},
        indexed_up_to = (SELECT max(id) - 5 FROM agent_runs) WHERE thread_id = 'long'`);
    })();
  });
  return dbPath;
}

describe("a thread of 2000 runs costs as much as an empty thread", () => {
  test("a run sends the same to the writer", async () => {
    const runner = openRunner({ dbPath: await fileWithLongThread() });
    await runToEnd(runner, "warm up", "warm-up", answeringAgent());
    const post = vi.spyOn(MessagePort.prototype, "postMessage");
    onTestFinished(() => post.mockRestore());

    async function sentBy(threadId: string, runId: string): Promise<unknown[]> {
      post.mockClear();
      await runToEnd(runner, threadId, runId, answeringAgent());
      return post.mock.calls.flatMap(([message]) => {
        if (!Array.isArray(message)) return [];
        const [, request] = message as unknown as PortRequest<WriterRequest>;
        return request.kind === "batch" ? request.ops : [];
      });
    }
    const ofLong = await sentBy("long", "new-run-1");
    const ofEmpty = await sentBy("none", "new-run-2");
    expect(ofLong).toMatchObject([
      { kind: "claim", threadId: "long", runId: "new-run-1", messageIds: ["question-new-run-1"] },
      { kind: "finish", threadId: "long", runId: "new-run-1" },
    ]);
    expect(JSON.stringify(ofLong)).toHaveLength(JSON.stringify(ofEmpty).length);
  });

  test("the writer answers a claim with the same statements, and reads no history", async () => {
    const dbPath = await fileWithLongThread();
    const executed: string[] = [];
    const db = new Database(dbPath, { verbose: (sql) => void executed.push(String(sql)) });
    onTestFinished(() => void db.close());
    const config = { dbPath, instanceId: "test", leaseMs: 15_000, file: null } as const;
    const context = createWriterContext(db, config);

    let number = 0;
    function claimed(threadId: string): string[] {
      const messageIds = ["answer-run-1", "new"];
      const seen = threadId === "long" ? [true, false] : [false, false];
      const runId = `claim ${++number}`;
      db.exec("UPDATE run_state SET is_running = 0");
      executed.length = 0;
      const messages = { messageIds, messageDigests: [0, 0] };
      const nobody = { agentId: null, resourceId: null };
      const op = {
        kind: "claim",
        number,
        threadId,
        runId,
        ...messages,
        ...nobody,
      } as const;
      expect(claim(context, op)).toMatchObject({ ok: true, claim: { seen } });
      // The statements as better-sqlite3 reports them, with values in place of the parameters.
      return executed.map((sql) => sql.replaceAll(`'${threadId}'`, "'?'").replaceAll(runId, "?"));
    }
    const plansOf = (sql: string) =>
      db
        .prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(({ detail }) => detail);

    // The first claim of a writer reads the runs that are not indexed yet, however many there are.
    const first = claimed("long");
    const behind = first.filter((sql) => /\bevents\b/.test(sql));
    expect(behind).toHaveLength(1);
    const notIndexed = db.prepare(`SELECT count(*) FROM (${behind[0]})`).pluck();
    expect(notIndexed.get()).toBeLessThan(16);

    claimed("none");
    const ofLong = claimed("long");
    const withoutTime = (sql: string) =>
      sql.replace(/\d{13}(\.0)?/g, "?").replace(/(epoch|claim_number) = \d+(\.0)?/g, "$1 = ?");
    const ofEmpty = claimed("none").map(withoutTime);
    // Messages of an empty thread need not be looked up.
    const isLookUp = (sql: string) => sql.includes("thread_messages");
    expect(ofLong.filter((sql) => !isLookUp(sql)).map(withoutTime)).toEqual(ofEmpty);
    // One statement per message.
    expect(ofLong.filter(isLookUp)).toHaveLength(2);
    for (const sql of ofLong) expect(sql).not.toMatch(/\bevents\b/);
    // Each finds its row by an index, so no cost grows with the table.
    for (const detail of [...first, ...ofLong].flatMap(plansOf)) {
      expect(detail).not.toMatch(/^SCAN (?!CONSTANT ROW)/);
    }
  });

  test("connect reads 64 KiB at a time, on a reader", async () => {
    const store = sqliteStore(await fileWithLongThread());
    onTestFinished(() => store.close(1000));
    const runIds: string[] = [];
    let pages = 0;
    for (let cursor: object | null = null, isFirst = true; isFirst || cursor !== null; ) {
      isFirst = false;
      const page = await store.readHistory("long", cursor);
      pages++;
      const events = page.segments.flatMap((segment) => segment.events);
      expect(JSON.stringify(events).length).toBeLessThanOrEqual(64 * 1024);
      runIds.push(...page.segments.map((segment) => segment.runId));
      cursor = page.next;
    }
    expect(runIds).toEqual(Array.from({ length: RUNS }, (_, at) => `run-${at}`));
    // 2000 runs of more than 1000 bytes.
    expect(pages).toBeGreaterThan(30);
    expect(store.stats().batches).toBe(0);
  });

  test("of an input with the whole history, only ids are sent and only new messages are stored", async () => {
    const runner = openRunner({ dbPath: await fileWithLongThread() });
    const history = Array.from({ length: RUNS }, (_, at) => `answer-run-${at}`);
    const input = inputOf("long", "new-run", [...history, "new question"]);
    const [first] = await new Promise<object[]>((resolve) => {
      const events: object[] = [];
      runner.run({ threadId: "long", agent: answeringAgent(), input }).subscribe({
        next: (event) => void events.push(event),
        complete: () => resolve(events),
      });
    });
    expect(first).toMatchObject({ input: { messages: [{ id: "new question" }] } });
  });
});
