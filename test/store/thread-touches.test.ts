import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { prepareTouchStatements } from "../../workers/sqlite/threads/statements.ts";
import { ThreadTouches } from "../../workers/sqlite/threads/thread-touches.ts";

const NEVER = () => false;

/** More threads than the budget of threads that were written a short time ago. */
const THREADS = 50;

/** That budget: so many at once, and so many a second. */
const RECENT = 20;

/** Threads in a file, and the time of their last run as the file has it. */
class File {
  readonly db = new Database(":memory:");
  readonly touches: ThreadTouches;

  constructor() {
    migrate(this.db);
    const insert = this.db.prepare("INSERT INTO threads (thread_id, created_at) VALUES (?, 0)");
    for (let thread = 0; thread < THREADS; thread++) insert.run(`t${thread}`);
    this.touches = new ThreadTouches(prepareTouchStatements(this.db));
  }

  /** As batches do in which each thread has a run. */
  runOnEach(at: number, agentId: string | null = null): void {
    this.runElsewhere(at, agentId);
    for (let thread = 0; thread < THREADS; thread++) this.touches.note(`t${thread}`, at, agentId);
    this.touches.write();
  }

  /** As another instance does, of which only the states of the threads tell. */
  runElsewhere(at: number, agentId: string | null): void {
    this.db
      .prepare(
        `INSERT OR REPLACE INTO run_state (thread_id, is_running, updated_at, agent_id)
         SELECT thread_id, 0, ?, ? FROM threads`,
      )
      .run(at, agentId);
  }

  agents(): unknown[] {
    return this.db.prepare("SELECT DISTINCT agent_id FROM threads").pluck().all();
  }

  /** The threads whose last run, as far as the file knows, was at `at`. */
  updatedAt(at: number): string[] {
    return this.db
      .prepare<[number], string>(
        "SELECT thread_id FROM threads WHERE updated_at = ? ORDER BY CAST(substr(thread_id, 2) AS INTEGER)",
      )
      .pluck()
      .all(at);
  }
}

const firstThreads = (count: number) => Array.from({ length: count }, (_, thread) => `t${thread}`);

let file: File;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  file = new File();
});

afterEach(() => {
  file.db.close();
  vi.useRealTimers();
});

describe("the last run of a thread", () => {
  test("is written at once for a thread that was not written before", () => {
    file.runOnEach(1);
    expect(file.updatedAt(1)).toEqual(firstThreads(THREADS));
  });

  test("waits beyond 20 threads a second that were written a short time ago", () => {
    file.runOnEach(1);
    file.runOnEach(2);
    expect(file.updatedAt(2)).toEqual(firstThreads(RECENT));

    vi.advanceTimersByTime(1000);
    file.touches.write();
    expect(file.updatedAt(2)).toEqual(firstThreads(2 * RECENT));

    vi.advanceTimersByTime(1000);
    file.touches.write();
    expect(file.updatedAt(2)).toEqual(firstThreads(THREADS));
    expect(file.touches.isEmpty).toBe(true);
  });

  test("waits no longer once a list is to be read", () => {
    file.runOnEach(1);
    file.runOnEach(2);
    file.touches.writeUntil(NEVER);
    expect(file.updatedAt(2)).toEqual(firstThreads(THREADS));
    expect(file.touches.isEmpty).toBe(true);
  });

  test("is the latest of those that waited", () => {
    file.runOnEach(1);
    file.runOnEach(2);
    file.runOnEach(3);
    file.touches.writeUntil(NEVER);
    expect(file.updatedAt(3)).toEqual(firstThreads(THREADS));
  });

  test("is that of another instance if it was while a touch waited", () => {
    file.runOnEach(1);
    file.runOnEach(2);
    const last = `t${THREADS - 1}`;
    file.db.exec(`
      INSERT OR REPLACE INTO run_state (thread_id, is_running, updated_at) VALUES ('${last}', 0, 3);
      UPDATE threads SET updated_at = 3 WHERE thread_id = '${last}';
    `);
    file.touches.writeUntil(NEVER);
    expect(file.updatedAt(3)).toEqual([last]);
    expect(file.updatedAt(2)).toEqual(firstThreads(THREADS - 1));
  });

  test("does not wait when it was written more than a minute before", () => {
    file.runOnEach(1);
    file.runOnEach(60_001);
    expect(file.updatedAt(60_001)).toEqual(firstThreads(THREADS));
  });

  test("does not wait when the run has another agent: lists are read by agent", () => {
    file.runOnEach(1, "a");
    vi.advanceTimersByTime(1000);
    file.runOnEach(2, "b");
    expect(file.updatedAt(2)).toEqual(firstThreads(THREADS));
    expect(file.agents()).toEqual(["b"]);
  });

  test("is that of its agent, although another instance had a run of another agent in between", () => {
    file.runOnEach(1, "a");
    file.db.exec("UPDATE threads SET agent_id = 'b'");
    file.runOnEach(2, "a");
    file.touches.writeUntil(NEVER);
    expect(file.agents()).toEqual(["a"]);
  });

  test("is not that of an agent that was noted before a run of another instance", () => {
    file.runElsewhere(3, "c");
    for (const threadId of firstThreads(THREADS)) file.touches.note(threadId, 2, "b");
    file.touches.writeUntil(NEVER);
    expect(file.agents()).toEqual(["c"]);
  });

  test("is forgotten after a rollback, and the next one is written at once", () => {
    file.runOnEach(1);
    file.runOnEach(2);
    file.touches.reset();
    expect(file.touches.isEmpty).toBe(true);
    vi.advanceTimersByTime(1000);
    file.runOnEach(3);
    expect(file.updatedAt(3)).toEqual(firstThreads(THREADS));
  });
});
