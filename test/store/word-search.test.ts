import Database from "better-sqlite3";
import { afterAll, describe, expect, test } from "vitest";
import type { StoredThread, ThreadPlace } from "../../src/protocol/thread-messages.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { ThreadLists } from "../../workers/sqlite/threads/list-threads.ts";
import { addWords, type SearchPlace } from "../../workers/sqlite/threads/search-rows.ts";
import { prepareSearchRowStatements } from "../../workers/sqlite/threads/statements.ts";

const THREADS = 6000;

/** A word, and the threads that have it. Together they are rare, frequent, apart, and of each place in the file. */
const WORDS: Readonly<Record<string, (thread: number) => boolean>> = {
  everywhere: () => true,
  even: (thread) => thread % 2 === 0,
  evening: (thread) => thread % 2 === 1 && thread % 3 === 0,
  rare: (thread) => thread % 700 === 5,
  rarely: (thread) => thread % 700 === 12,
  left: (thread) => thread < 2600,
  right: (thread) => thread >= THREADS - 2600,
  middle: (thread) => thread > 2500 && thread < 3600,
};

/** When a thread was updated: in no order that the file has. */
const updatedAt = (thread: number): number => 1 + ((thread * 2477) % THREADS);

const idOf = (thread: number): string => `thread-${String(thread).padStart(5, "0")}`;

/** Threads whose words are in one or two rows, of one or two ranges. */
function makeThreads(db: Database.Database): void {
  const statements = prepareSearchRowStatements(db);
  const insertThread = db.prepare(
    "INSERT INTO threads (thread_id, created_at, updated_at) VALUES (?, 1, ?)",
  );
  const insertRun = db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
     VALUES (?, ?, '[]', '{}', 1, 5, 1)`,
  );
  db.transaction(() => {
    const places = new Map<number, SearchPlace>();
    for (let half = 0; half < 2; half++) {
      for (let thread = 0; thread < THREADS; thread++) {
        const id = idOf(thread);
        if (half === 0) {
          insertThread.run(id, updatedAt(thread));
          insertRun.run(id, id);
        }
        const words = Object.keys(WORDS).filter(
          (word, at) => at % 2 === half && WORDS[word]?.(thread),
        );
        const before = places.get(thread) ?? { range: null, range_rows: 0, words: "" };
        const from = half === 1 && thread % 5 === 0 ? { ...before, range: null } : before;
        const place = { ...from, thread_id: id };
        places.set(thread, addWords(statements, place, new Set(), new Set(words)));
      }
    }
  })();
}

const hasWords = (search: string) => (thread: number) =>
  search
    .split(" ")
    .every((begin) =>
      Object.entries(WORDS).some(([word, has]) => word.startsWith(begin) && has(thread)),
    );

describe("a search of many threads", () => {
  const db = new Database(":memory:");
  migrate(db);
  makeThreads(db);
  afterAll(() => void db.close());
  const lists = new ThreadLists(db, (id) => ({ id }) as unknown as StoredThread);

  function search(text: string, limit: number): string[] {
    const found: string[] = [];
    let after: ThreadPlace | null = null;
    do {
      const place: ThreadPlace | null = after;
      const query = { search: text };
      const page = lists.list({ query, metadata: [], scope: "every", limit, after: place });
      found.push(...page.threads.map(({ id }) => id));
      after = page.next;
    } while (after !== null);
    return found;
  }

  test.each([
    ...["everywhere", "even", "ev", "evening", "rare", "rarely", "left", "left right", "middle"],
    ...["left middle", "right middle", "rare rarely", "rare left", "even left", "evening right"],
    ...["everywhere even", "e l m", "nothing", "even nothing"],
  ])("%s: finds each thread that has the words, in the order of the list", (text) => {
    const expected = Array.from({ length: THREADS }, (_, thread) => thread)
      .filter(hasWords(text))
      .sort((a, b) => updatedAt(b) - updatedAt(a))
      .map(idOf);
    expect(search(text, 500)).toEqual(expected);
    expect(search(text, 50).length).toBe(expected.length);
  });
});
