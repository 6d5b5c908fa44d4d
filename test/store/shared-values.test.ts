import { cpSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { prose } from "../../bench/workloads/prose.ts";
import type { EventLike } from "../../src/events/event.ts";
import { SegmentBuilder } from "../../src/events/json/segment.ts";
import type { FinishOp, WriterOp } from "../../src/protocol/messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { StaleValues } from "../../workers/sqlite/maintenance/stale-values.ts";
import { commitBatch } from "../../workers/sqlite/runs/batch.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { unpackText } from "../../workers/sqlite/values/packed-text.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import {
  prepareReadValueStatements,
  type StoredEventsRow,
  type StoredInputRow,
} from "../../workers/sqlite/values/statements.ts";
import { withDatabase } from "../support/database-file.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

const THREAD = "thread";
const NOBODY = { agentId: null, resourceId: null };

let instances = 0;
let claims = 0;

/** A writer without its thread. */
class Writer {
  readonly db: Database.Database;
  readonly #context: ReturnType<typeof createWriterContext>;

  constructor(dbPath: string) {
    this.db = new Database(dbPath);
    this.db.pragma("journal_mode = WAL");
    migrate(this.db);
    const config = { dbPath, instanceId: `instance-${++instances}`, leaseMs: 60_000, file: null };
    this.#context = createWriterContext(this.db, config);
  }

  commit(...ops: readonly WriterOp[]) {
    return commitBatch(this.#context, ops);
  }

  claim(runId: string, messageIds: readonly string[] = [], threadId = THREAD) {
    const messageDigests = messageIds.map(() => 0);
    const ids = { threadId, runId, messageIds, messageDigests };
    const [result] = this.commit({
      kind: "claim",
      number: ++claims,
      ...ids,
      ...NOBODY,
    });
    if (!result?.ok || !("claim" in result) || result.claim === null)
      throw new Error("not claimed");
    return result.claim;
  }

  sweep(): void {
    new StaleValues(this.#context).sweep();
  }

  close(): void {
    this.db.close();
  }
}

function openWriter(dbPath: string): Writer {
  const writer = new Writer(dbPath);
  onTestFinished(() => writer.close());
  return writer;
}

interface Run {
  readonly threadId?: string;
  readonly runId: string;
  readonly events: readonly EventLike[];
  readonly input: unknown;
}

/** The end of a run whose events were not journaled. */
function finishOf({ threadId = THREAD, runId, events, input }: Run, epoch: number): FinishOp {
  const builder = new SegmentBuilder({ rawEvents: true });
  for (const event of events) builder.push(event);
  const { compactMessages, large } = builder;
  const run = { threadId, runId, epoch, agentId: null, finishedAt: Date.now() };
  const segment = { segments: 0, unread: 0, seq: 0, events: builder.take() };
  const json = JSON.stringify(input);
  return { kind: "finish", ...run, ...segment, compactMessages, large, input: json };
}

function store(writer: Writer, run: Run): void {
  const { epoch } = writer.claim(run.runId, [], run.threadId);
  expect(writer.commit(finishOf(run, epoch))).toEqual([{ ok: true }]);
}

type Row = StoredEventsRow & StoredInputRow & { readonly run_id: string };

/** What is stored of each run, by its id, with all values put back. */
function storedRuns(dbPath: string): Map<string, { events: string; input: string }> {
  return withDatabase(dbPath, (db) => {
    const reader = new ValueReader(prepareReadValueStatements(db));
    const rows = db.prepare<[], Row>("SELECT * FROM agent_runs ORDER BY id").all();
    return new Map(
      rows.map((row) => [row.run_id, { events: reader.eventsOf(row), input: reader.inputOf(row) }]),
    );
  });
}

/** Fails unless each run that is stored is one of `runs`, as it was. */
function expectStored(dbPath: string, runs: readonly Run[]): void {
  const stored = storedRuns(dbPath);
  for (const { runId, events, input } of runs) {
    const found = stored.get(runId);
    if (found === undefined) continue;
    stored.delete(runId);
    expect(found.input).toBe(JSON.stringify(input));
    expect(found.events).toBe(JSON.stringify(events));
  }
  expect([...stored.keys()]).toEqual([]);
  withDatabase(dbPath, (db) => {
    expect(count(db, "shared_values WHERE log NOT IN (SELECT log FROM shared_logs)")).toBe(0);
  });
}

const count = (db: Database.Database, table: string) =>
  db.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get() ?? 0;

const message = (id: string, words = "said 👩‍👩‍👧‍👦 ") => ({
  id,
  role: "user",
  content: `${id} ${words.repeat(40)}`,
});

/** A run that says what the thread is: `messages` in a snapshot and a state. */
function runWith(runId: string, messages: readonly unknown[], { state = true } = {}): Run {
  const input = {
    threadId: THREAD,
    runId,
    messages: messages.slice(-1),
    state: { messages: messages.slice(0, -1) },
    tools: [message("a tool", "does 🛠 ")],
  };
  const snapshot = { step: runId, messages, done: false };
  return {
    runId,
    input,
    events: [
      { type: "RUN_STARTED", threadId: THREAD, runId, input },
      { type: "MESSAGES_SNAPSHOT", messages },
      { type: "CUSTOM", name: "note", value: runId },
      ...(state ? [{ type: "STATE_SNAPSHOT", snapshot }] : []),
      { type: "RUN_FINISHED", threadId: THREAD, runId },
    ],
  };
}

const messagesUpTo = (turn: number) =>
  Array.from({ length: turn }, (_, at) => message(`message-${at}`));

type Step =
  | { readonly do: "run" | "run elsewhere"; readonly words: string; readonly state: boolean }
  | { readonly do: "edit"; readonly at: number }
  | { readonly do: "purge"; readonly keep: number }
  | { readonly do: "fail beside" | "send twice" | "sweep" | "sweep elsewhere" | "restart" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("run" as const, "run elsewhere" as const),
      words: fc.oneof(
        fc.string({ unit: "binary", minLength: 1 }),
        fc.constant("\ud83d\udc69\udc69"),
      ),
      state: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant("edit" as const), at: fc.nat() }),
  fc.record({ do: fc.constant("purge" as const), keep: fc.nat({ max: 5 }) }),
  fc.record({
    do: fc.constantFrom(
      "fail beside" as const,
      "send twice" as const,
      "sweep" as const,
      "sweep elsewhere" as const,
      "restart" as const,
    ),
  }),
);

describe("runs that hold what other runs hold", () => {
  test("come back as they were emitted, whatever happens to the file between them", () => {
    const dbPaths: string[] = [];
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 4, maxLength: 30 }), (steps) => {
        const dbPath = join(tempDirectory(), `${dbPaths.push("")}.db`);
        let [here, elsewhere] = [new Writer(dbPath), new Writer(dbPath)];
        const runs: Run[] = [];
        let messages: unknown[] = [];
        const next = (words = "more ", state = true) => {
          const id = `run-${runs.length}`;
          messages = [...messages, message(id, words)];
          const run = runWith(id, messages, { state });
          runs.push(run);
          return run;
        };
        try {
          for (const step of steps) {
            switch (step.do) {
              case "run":
                store(here, next(step.words, step.state));
                break;
              case "run elsewhere":
                store(elsewhere, next(step.words, step.state));
                break;
              case "edit":
                if (messages.length > 0) {
                  messages = messages.with(step.at % messages.length, message("edited", "anew "));
                }
                break;
              case "purge":
                purgeFromOutside(dbPath, step.keep);
                break;
              case "fail beside": {
                const run = next();
                const finish = finishOf(run, here.claim(run.runId).epoch);
                // Another thread's run, whose journal lacks what it says it has.
                const other = {
                  threadId: "other",
                  runId: "other",
                  messageIds: [],
                  messageDigests: [],
                };
                here.commit({
                  kind: "claim",
                  number: ++claims,
                  ...other,
                  ...NOBODY,
                });
                const epoch = here.db
                  .prepare<[], number>("SELECT epoch FROM run_state WHERE thread_id = 'other'")
                  .pluck()
                  .get() as number;
                const failing = { ...finish, ...other, epoch, segments: 7, compactMessages: null };
                expect(here.commit(finish, failing)).toMatchObject([{ ok: true }, { ok: false }]);
                here.commit({
                  kind: "release",
                  threadId: "other",
                  epoch,
                  segments: 0,
                  seq: 0,
                  events: "[]",
                });
                break;
              }
              case "send twice": {
                const run = next();
                const finish = finishOf(run, here.claim(run.runId).epoch);
                expect(here.commit(finish)).toEqual([{ ok: true }]);
                const chunks = count(here.db, "shared_values");
                expect(here.commit(finish)).toEqual([{ ok: true }]);
                expect(count(here.db, "shared_values")).toBe(chunks);
                break;
              }
              case "sweep":
                here.sweep();
                break;
              case "sweep elsewhere":
                elsewhere.sweep();
                break;
              case "restart":
                here.close();
                here = new Writer(dbPath);
            }
            expectStored(dbPath, runs);
          }
        } finally {
          here.close();
          elsewhere.close();
        }
      }),
      { numRuns: 40 },
    );
  });

  test("repeat nothing that was swept elsewhere since they were last looked at", () => {
    const dbPath = tempDatabase();
    const [here, elsewhere] = [openWriter(dbPath), openWriter(dbPath)];
    const messages = messagesUpTo(6);
    const runs = [
      runWith("run-1", messages),
      runWith("run-2", messages, { state: false }),
      runWith("run-3", messages),
    ];
    const [first, second, third] = runs as [Run, Run, Run];
    store(here, first);
    store(here, second);
    purgeFromOutside(dbPath, 1);
    elsewhere.sweep();
    store(here, third);
    expectStored(dbPath, runs);
    expect(storedRuns(dbPath).size).toBe(2);
  });

  test("repeat nothing of a run whose transaction was rolled back", () => {
    const dbPath = tempDatabase();
    const [here, elsewhere] = [openWriter(dbPath), openWriter(dbPath)];
    const first = runWith("run-1", messagesUpTo(5));
    store(here, first);
    // So long that its messages are indexed at once.
    const lost = runWith("lost", [...messagesUpTo(5), message("lost", "gone ".repeat(500))]);
    const { epoch } = here.claim("lost");
    here.db.exec(`CREATE TRIGGER no BEFORE UPDATE ON threads BEGIN
      SELECT RAISE(ABORT, 'no'); END`);
    expect(here.commit(finishOf(lost, epoch))).toMatchObject([{ ok: false }]);
    here.db.exec("DROP TRIGGER no");
    const ids = { threadId: THREAD, epoch };
    here.commit({ kind: "release", ...ids, segments: 0, seq: 0, events: "[]" });
    // Its row has the number that the lost one had.
    const second = runWith("run-2", [...messagesUpTo(5), message("other", "kept ".repeat(500))]);
    store(elsewhere, second);
    const third = runWith("run-3", [...lost.events, message("third")]);
    store(here, third);
    expectStored(dbPath, [first, second, third]);
  });

  test("take the room of what is new in each of them", () => {
    const writer = openWriter(tempDatabase());
    for (let turn = 1; turn <= 50; turn++)
      store(writer, runWith(`run-${turn}`, messagesUpTo(turn)));
    const said = JSON.stringify(messagesUpTo(50)).length;
    const stored = writer.db
      .prepare<[], number>("SELECT sum(length) FROM shared_values")
      .pluck()
      .get();
    // In the messages, in the state, and in the state that the client sends with the next run.
    expect(stored).toBeLessThan(3.2 * said);
  });

  test("take less room than what is new in each of them, though it is in the messages and in the state", () => {
    const writer = openWriter(tempDatabase());
    const spoken = Array.from({ length: 50 }, (_, at) => {
      return { id: `message-${at}`, role: "user", content: prose(at, 900) };
    });
    for (let turn = 1; turn <= 50; turn++) {
      const messages = spoken.slice(0, turn);
      const events = [
        { type: "RUN_STARTED", threadId: THREAD, runId: `run-${turn}` },
        { type: "MESSAGES_SNAPSHOT", messages },
        { type: "STATE_SNAPSHOT", snapshot: { step: turn, messages, done: false } },
        { type: "RUN_FINISHED", threadId: THREAD, runId: `run-${turn}` },
      ];
      store(writer, { runId: `run-${turn}`, input: {}, events });
    }
    const stored = writer.db
      .prepare<[], number>("SELECT sum(octet_length(text)) FROM shared_values")
      .pluck()
      .get();
    expect(stored).toBeLessThan(0.75 * JSON.stringify(spoken).length);
  });
});

/** The statement that version 1 documents for purging, by another program. */
function purgeFromOutside(dbPath: string, keep: number): void {
  withDatabase(dbPath, (db) => {
    const oldestKept = db
      .prepare<[number], number>(
        "SELECT id FROM agent_runs WHERE thread_id = 'thread' ORDER BY id DESC LIMIT 1 OFFSET ?",
      )
      .pluck()
      .get(keep);
    if (oldestKept === undefined) return;
    db.prepare("UPDATE agent_runs SET created_at = 1 WHERE id <= ?").run(oldestKept);
    db.prepare("DELETE FROM agent_runs WHERE created_at < ?").run(2);
  });
}

describe("a purge from outside", () => {
  /** A file with 20 runs of which the last `keep` are left. */
  function purgedFile(keep: number) {
    const dbPath = tempDatabase();
    const writer = openWriter(dbPath);
    const runs = Array.from({ length: 20 }, (_, at) =>
      runWith(`run-${at}`, messagesUpTo(at + 1).slice(-5)),
    );
    for (const run of runs) store(writer, run);
    purgeFromOutside(dbPath, keep);
    return { dbPath, writer, runs };
  }

  test("leaves every later run readable, before a sweep and after it", () => {
    const { dbPath, writer, runs } = purgedFile(3);
    expectStored(dbPath, runs);
    const before = count(writer.db, "shared_values");
    writer.sweep();
    expectStored(dbPath, runs);
    expect(storedRuns(dbPath).size).toBe(3);
    expect(count(writer.db, "shared_values")).toBeLessThan(before);
  });

  test("leaves nothing of what only purged runs said, once it was swept", () => {
    const { writer } = purgedFile(3);
    const stored = () => writer.db.prepare("SELECT text FROM shared_values").pluck().all();
    const texts = () =>
      stored()
        .map((text) => unpackText(text))
        .join("");
    expect(texts()).toContain("message-0 said");
    writer.sweep();
    // The last three runs hold messages from the 14th on.
    expect(texts()).not.toContain("message-9 said");
    expect(texts()).toContain("message-19 said");
  });

  test("of all runs leaves no values, once it was swept", () => {
    const { writer } = purgedFile(0);
    writer.sweep();
    expect(count(writer.db, "shared_values")).toBe(0);
    expect(count(writer.db, "shared_logs")).toBe(0);
  });

  test("that a sweep follows is not swept again", () => {
    const { writer } = purgedFile(3);
    writer.sweep();
    const version = () => writer.db.pragma("data_version", { simple: true });
    const before = version();
    writer.sweep();
    expect(version()).toBe(before);
    expect(count(writer.db, "threads WHERE values_stale = 1")).toBe(0);
  });

  test("is swept later if the sweep is cut off in the middle", () => {
    const { dbPath, writer, runs } = purgedFile(3);
    // So little memory that changes reach the WAL before they are committed.
    writer.db.pragma("cache_size = 1");
    writer.db.exec(`CREATE TRIGGER cut AFTER UPDATE OF value_sweeps ON threads BEGIN
      SELECT RAISE(ABORT, 'cut off'); END`);
    expect(() => writer.sweep()).toThrow("cut off");
    expectStored(dbPath, runs);
    writer.db.exec("DROP TRIGGER cut");
    writer.sweep();
    expectStored(dbPath, runs);
    expect(count(writer.db, "threads WHERE values_stale = 1")).toBe(0);
  });

  test("is swept later if the process dies in the middle of the sweep", () => {
    const { dbPath, writer, runs } = purgedFile(3);
    writer.db.pragma("cache_size = 1");
    const copy = join(tempDirectory(), "copy.db");
    writer.db.function("die", () => {
      // As the files are when the process is killed here.
      for (const end of ["", "-wal"]) cpSync(`${dbPath}${end}`, `${copy}${end}`);
      return 0;
    });
    writer.db.exec(`CREATE TEMP TRIGGER dying AFTER UPDATE OF value_sweeps ON main.threads BEGIN
      SELECT die(); END`);
    writer.sweep();
    const next = openWriter(copy);
    expectStored(copy, runs);
    expect(count(next.db, "threads WHERE values_stale = 1")).toBe(1);
    next.sweep();
    expectStored(copy, runs);
  });
});

describe("what somebody else writes to a run that has values", () => {
  function fileWithRuns() {
    const dbPath = tempDatabase();
    const writer = openWriter(dbPath);
    const runs = [1, 2, 3].map((at) => runWith(`run-${at}`, messagesUpTo(at + 1)));
    for (const run of runs) store(writer, run);
    return { dbPath, writer, runs };
  }

  test("to its events is all that it has then", () => {
    const { dbPath, writer, runs } = fileWithRuns();
    withDatabase(dbPath, (db) => {
      db.exec(`UPDATE agent_runs SET events = '[{"type":"CUSTOM"}]' WHERE run_id = 'run-2'`);
    });
    writer.sweep();
    const [first, second, third] = storedRuns(dbPath).values();
    expect(second?.events).toBe('[{"type":"CUSTOM"}]');
    expect(second?.input).toBe(JSON.stringify(runs[1]?.input));
    expect([first?.events, third?.events]).toEqual([
      JSON.stringify(runs[0]?.events),
      JSON.stringify(runs[2]?.events),
    ]);
  });

  test("to its input is all that it has then", () => {
    const { dbPath, writer, runs } = fileWithRuns();
    withDatabase(dbPath, (db) => db.exec("UPDATE agent_runs SET input = '{}'"));
    writer.sweep();
    const stored = [...storedRuns(dbPath).values()];
    expect(stored.map(({ input }) => input)).toEqual(["{}", "{}", "{}"]);
    expect(stored.map(({ events }) => events)).toEqual(
      runs.map(({ events }) => JSON.stringify(events)),
    );
  });

  test("moves it to another thread, with its values", () => {
    const { dbPath, writer, runs } = fileWithRuns();
    withDatabase(dbPath, (db) => {
      db.exec("UPDATE agent_runs SET thread_id = 'moved' WHERE run_id = 'run-2'");
      db.exec("DELETE FROM agent_runs WHERE thread_id = 'thread'");
    });
    writer.sweep();
    expectStored(dbPath, runs);
    expect([...storedRuns(dbPath).keys()]).toEqual(["run-2"]);
  });

  test.each([
    "no JSON",
    "[]]",
    "7",
    '[["STATE_SNAPSHOT"]]',
    '[["x",0,[1,2]]]',
    '[["x",0,[1,2,-3]]]',
    "[[null,0,[]]]",
  ])("as the places of its values, %s: that run alone cannot be read", (places) => {
    const { dbPath, writer, runs } = fileWithRuns();
    withDatabase(dbPath, (db) => {
      db.prepare("UPDATE agent_runs SET shared_events = ? WHERE run_id = 'run-3'").run(places);
      db.exec("DELETE FROM agent_runs WHERE run_id = 'run-1'");
    });
    writer.sweep();
    const run = runWith("run-4", messagesUpTo(5));
    const next = openWriter(dbPath);
    store(next, run);
    const stored = storedRuns(dbPath);
    expect(stored.get("run-3")?.events).toBe("");
    expect(stored.get("run-2")?.events).toBe(JSON.stringify(runs[1]?.events));
    expect(stored.get("run-4")?.events).toBe(JSON.stringify(run.events));
  });

  test.each<[string, unknown]>([
    ["no deflated bytes", Buffer.from("this was never deflated")],
    ["deflated bytes that end too early", deflateRawSync("message ".repeat(100)).subarray(0, -4)],
    ["a shorter text", deflateRawSync("short ".repeat(30))],
    ["a number", 7],
  ])(
    "as the text of a value, %s: the runs that use it cannot be read, all others can",
    (_, text) => {
      const { dbPath, writer, runs } = fileWithRuns();
      const other = { ...runWith("other", messagesUpTo(3)), threadId: "other" };
      store(writer, other);
      withDatabase(dbPath, (db) => {
        db.prepare(
          `UPDATE shared_values SET text = ? WHERE id =
           (SELECT max(coalesce(holder, id)) FROM shared_values JOIN shared_logs USING (log)
            WHERE thread_id = 'thread')`,
        ).run(text);
        db.exec("DELETE FROM agent_runs WHERE run_id = 'run-1'");
      });
      const stored = () => [...storedRuns(dbPath)].map(([id, { events }]) => [id, events]);
      const readable = [
        ["run-2", JSON.stringify(runs[1]?.events)],
        ["run-3", ""],
        ["other", JSON.stringify(other.events)],
      ];
      expect(stored()).toEqual(readable);
      writer.sweep();
      expect(stored()).toEqual(readable);
      const next = openWriter(dbPath);
      const run = runWith("run-4", messagesUpTo(5));
      store(next, run);
      expect(stored()).toEqual([...readable, ["run-4", JSON.stringify(run.events)]]);
    },
  );

  test("takes values away: the run cannot be read, and the next run is stored whole", () => {
    const { dbPath, writer } = fileWithRuns();
    withDatabase(dbPath, (db) => db.exec("DELETE FROM shared_values"));
    expect(storedRuns(dbPath).get("run-3")).toEqual({ events: "", input: "" });
    const next = openWriter(dbPath);
    const run = runWith("run-4", messagesUpTo(5));
    store(next, run);
    expect(storedRuns(dbPath).get("run-4")?.events).toBe(JSON.stringify(run.events));
    expect(writer.db.pragma("integrity_check", { simple: true })).toBe("ok");
  });
});

test("the ids of messages that only a snapshot holds are known to the next claim, in any process", () => {
  const dbPath = tempDatabase();
  const [first, second] = [openWriter(dbPath), openWriter(dbPath)];
  store(first, runWith("run-1", messagesUpTo(5)));
  const ids = ["message-0", "message-4", "message-5"];
  expect(second.claim("run-2", ids).seen).toEqual([true, true, false]);
});

test("runs without snapshots and long inputs write no values", () => {
  const writer = openWriter(tempDatabase());
  const events = [{ type: "RUN_STARTED" }, { type: "CUSTOM", value: "x".repeat(5000) }];
  store(writer, { runId: "r", input: {}, events: [...events, { type: "RUN_FINISHED" }] });
  expect(count(writer.db, "shared_values")).toBe(0);
  expect(writer.db.prepare("SELECT shared_events, shared_input FROM agent_runs").get()).toEqual({
    shared_events: null,
    shared_input: null,
  });
});
