import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { prepareTransactionStatements } from "../../workers/sqlite/database/statements.ts";
import { inTransaction } from "../../workers/sqlite/database/transaction.ts";
import { ThreadIndexer } from "../../workers/sqlite/threads/thread-indexer.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import { prepareReadValueStatements } from "../../workers/sqlite/values/statements.ts";
import { withDatabase } from "../support/database-file.ts";
import { tempDatabase } from "../support/temp-file.ts";

const NEVER = () => false;

/** Ends a piece of work after so many steps. */
function after(steps: number): () => boolean {
  let left = steps;
  return () => --left <= 0;
}

let runs = 0;

/** A connection of an instance, with its indexer. */
class Instance {
  readonly db: Database.Database;
  indexer: ThreadIndexer;

  constructor(path: string) {
    this.db = new Database(path);
    this.db.pragma("journal_mode = WAL");
    this.db.pragma("synchronous = OFF");
    migrate(this.db);
    this.indexer = this.#newIndexer();
  }

  #newIndexer(): ThreadIndexer {
    const values = new ValueReader(prepareReadValueStatements(this.db));
    return new ThreadIndexer(this.db, values, () => undefined);
  }

  store(threadId: string, ...words: readonly string[]): void {
    this.db
      .prepare("INSERT OR IGNORE INTO threads (thread_id, created_at) VALUES (?, 1)")
      .run(threadId);
    this.db
      .prepare(
        `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
         VALUES (?, ?, ?, '{}', ?, 5, 1)`,
      )
      .run(threadId, `run-${++runs}`, eventsWith(words), runs);
  }

  deleteFirstRun(threadId: string): void {
    const first = "(SELECT min(id) FROM agent_runs WHERE thread_id = ?)";
    this.db.prepare(`DELETE FROM agent_runs WHERE id = ${first}`).run(threadId);
  }

  remove(threadId: string): void {
    this.db.prepare("DELETE FROM threads WHERE thread_id = ?").run(threadId);
    this.db.prepare("DELETE FROM agent_runs WHERE thread_id = ?").run(threadId);
  }

  read(steps = Number.POSITIVE_INFINITY): void {
    this.indexer.read(after(steps));
  }

  write(steps = Number.POSITIVE_INFINITY): void {
    const { db } = this;
    const statements = prepareTransactionStatements(db);
    inTransaction({ db, statements }, () => this.indexer.write(after(steps)));
    this.indexer.committed();
  }

  /** A transaction that fails after its work. */
  fail(): void {
    const { db } = this;
    const statements = prepareTransactionStatements(db);
    const work = () => {
      this.indexer.write(NEVER);
      throw new Error("full");
    };
    expect(() => inTransaction({ db, statements }, work)).toThrow("full");
    this.indexer.forget();
  }

  /** The process ends, and another one opens the file. */
  crash(): void {
    this.indexer = this.#newIndexer();
  }

  indexAll(): void {
    while (this.indexer.read(NEVER) !== null) this.write();
  }

  /** The facts of each thread, and its words. */
  index(): unknown {
    const facts = this.db.prepare<[], { thread_id: string; facts: string | null }>(
      "SELECT thread_id, facts FROM thread_facts WHERE facts IS NOT NULL ORDER BY thread_id",
    );
    const found = this.db.prepare<[string], string>(
      `SELECT DISTINCT thread_id FROM search_ranges JOIN thread_search
         ON thread_search.rowid / 16 = search_ranges.range
       WHERE thread_search MATCH ? ORDER BY thread_id`,
    );
    const threadsWith = (word: string) => found.pluck().all(`"${word}"`);
    return { facts: facts.all(), words: WORDS.map((word) => [word, threadsWith(word)]) };
  }

  /** What the index has to be: that of a file that has none. */
  expected(): unknown {
    const other = new Instance(":memory:");
    for (const table of ["threads", "agent_runs"]) {
      const rows = this.db.prepare<[], object>(`SELECT * FROM ${table}`).all();
      for (const row of rows) {
        const names = Object.keys(row);
        const places = names.map(() => "?").join(", ");
        const sql = `INSERT OR REPLACE INTO ${table} (${names.join(", ")}) VALUES (${places})`;
        other.db.prepare(sql).run(...Object.values(row));
      }
    }
    other.indexAll();
    const index = other.index();
    other.db.close();
    return index;
  }
}

const WORDS = ["apple", "pear", "plum", "fig", "quince"] as const;

function eventsWith(words: readonly string[]): string {
  const messageId = `message-${runs}`;
  return JSON.stringify([
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: words.join(" ") },
    { type: "TEXT_MESSAGE_END", messageId },
    { type: "RUN_FINISHED" },
  ]);
}

/** What other programs may do. */
function changeLastRun(db: Database.Database, threadId: string, words: readonly string[]): void {
  const last = "(SELECT max(id) FROM agent_runs WHERE thread_id = ?)";
  db.prepare(`UPDATE agent_runs SET events = ? WHERE id = ${last}`).run(
    eventsWith(words),
    threadId,
  );
}

/** Two instances on one file. */
function open(path = tempDatabase()): readonly [Instance, Instance] {
  const instances = [new Instance(path), new Instance(path)] as const;
  onTestFinished(() => {
    for (const { db } of instances) db.close();
  });
  // The first look finds that others may have written.
  for (const instance of instances) instance.indexAll();
  return instances;
}

function expectRight(instance: Instance): void {
  instance.indexAll();
  expect(instance.index()).toEqual(instance.expected());
}

const checkpointOf = ({ db }: Instance) =>
  db.prepare("SELECT up_to FROM facts_checkpoint").pluck().get();

describe("runs that were read, and are not written yet", () => {
  test("are counted once if another instance indexes them meanwhile", () => {
    const [one, other] = open();
    one.store("t", "apple");
    one.read();
    other.indexAll();
    one.write();
    expect(one.index()).toMatchObject({
      words: [["apple", ["t"]], ...WORDS.slice(1).map((w) => [w, []])],
    });
    expectRight(one);
  });

  test("leave no words if another instance has removed their thread", () => {
    const [one, other] = open();
    one.store("t", "apple");
    one.read();
    other.remove("t");
    one.write();
    expect(one.index()).toEqual({ facts: [], words: WORDS.map((word) => [word, []]) });
    expectRight(one);
  });

  test("leave no words of a removed thread whose id is used again", () => {
    const [one, other] = open();
    one.store("t", "apple");
    one.read();
    other.remove("t");
    other.store("t", "pear");
    one.write();
    expectRight(one);
    expect(one.index()).toMatchObject({
      words: [
        ["apple", []],
        ["pear", ["t"]],
        ["plum", []],
        ["fig", []],
        ["quince", []],
      ],
    });
  });

  test("leave no words if another program has changed them", () => {
    const [one, other] = open();
    one.store("t", "apple");
    one.read();
    changeLastRun(other.db, "t", ["pear"]);
    one.write();
    expectRight(one);
  });

  test("are read again if the same connection has removed threads, and said so", () => {
    const [one] = open();
    one.store("t", "apple");
    one.store("u", "pear");
    one.read();
    one.remove("t");
    one.indexer.forget();
    one.write();
    expectRight(one);
  });

  test("are read again after a transaction that failed", () => {
    const [one] = open();
    one.store("t", "apple");
    one.read();
    one.fail();
    expectRight(one);
  });

  test("are joined by runs that are stored meanwhile", () => {
    const [one] = open();
    one.store("t", "apple");
    one.read();
    one.store("t", "pear");
    one.write();
    expectRight(one);
  });
});

test("the checkpoint stays behind runs that are not written", () => {
  const [one] = open();
  for (const word of WORDS) one.store(`thread-${word}`, word);
  const before = checkpointOf(one);
  one.read();
  one.write(2);
  expect(checkpointOf(one)).toBe(before);
  one.crash();
  expectRight(one);
  expect(checkpointOf(one)).not.toBe(before);
});

test("the checkpoint passes over runs of unknown threads, also when words had to be removed first", () => {
  const [one] = open();
  one.store("t", "apple");
  one.db.exec("DELETE FROM threads");
  one.read();
  one.db.exec("INSERT INTO search_ranges (thread_id) VALUES (NULL), (NULL)");
  one.write(1);
  expect(checkpointOf(one)).toBe(undefined);
  one.indexAll();
  expect(checkpointOf(one)).toBe(1);
});

test("runs of many threads are written in one transaction while no other instance writes", () => {
  const [one] = open();
  const before = checkpointOf(one) ?? 0;
  for (let at = 0; at < 20; at++) one.store(`thread-${at}`, "apple");
  for (let at = 0; at < 20; at++) one.read(1);
  expect(checkpointOf(one) ?? 0).toBe(before);
  one.write();
  expect(one.indexer.read(NEVER)).toBe(null);
  expect(checkpointOf(one)).toBe(20);
});

const THREADS = ["t", "u", "v"] as const;
const anyThread = fc.constantFrom(...THREADS);
const anyWords = fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 2 });
const anySteps = fc.integer({ min: 1, max: 3 });

type Step = (one: Instance, path: string) => void;

/** What happens to a file on which two instances work. */
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(anyThread, anyWords).map(
    ([thread, words]): Step =>
      (one) =>
        one.store(thread, ...words),
  ),
  anySteps.map(
    (steps): Step =>
      (one) =>
        one.read(steps),
  ),
  anySteps.map(
    (steps): Step =>
      (one) =>
        one.write(steps),
  ),
  fc.constant<Step>((one) => one.fail()),
  fc.constant<Step>((one) => one.crash()),
  fc.tuple(anyThread, anyWords).map(([thread, words]): Step => {
    return (_, path) => withDatabase(path, (db) => changeLastRun(db, thread, words));
  }),
  fc.tuple(anyThread, fc.boolean()).map(([thread, isAll]): Step => {
    return (one) => {
      if (isAll) one.remove(thread);
      else one.deleteFirstRun(thread);
      one.indexer.forget();
    };
  }),
);

test("the index is right whatever two instances do in whatever order", () => {
  const anySteps = fc.array(fc.tuple(anyStep, fc.boolean()), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(anySteps, (steps) => {
      const path = tempDatabase();
      const [one, other] = open(path);
      for (const [step, isOther] of steps) step(isOther ? other : one, path);
      expectRight(one);
      one.db.close();
      other.db.close();
    }),
    { numRuns: 250 },
  );
});

test("a thread is in the place of its last run, although the clock was set back before that", () => {
  const instance = new Instance(tempDatabase());
  onTestFinished(() => void instance.db.close());
  for (const word of ["one", "two"]) instance.store("t", word);
  instance.db.exec(`
    UPDATE agent_runs SET created_at = 5000 WHERE id = 1;
    UPDATE agent_runs SET created_at = 1000 WHERE id = 2;
    UPDATE threads SET updated_at = 1000;
  `);
  instance.indexAll();
  const places = instance.db.prepare("SELECT thread_id, updated_at FROM threads").all();
  expect(places).toEqual([{ thread_id: "t", updated_at: 1000 }]);
});
