import { totalmem } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import Database from "better-sqlite3";
import { ThreadIndexer } from "../../workers/sqlite/threads/thread-indexer.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import { prepareReadValueStatements } from "../../workers/sqlite/values/statements.ts";
import { threadIdOf, uuidOf } from "./ids.ts";
import type { Row, RunPattern, TextPattern, ThreadPattern, Value } from "./patterns.ts";
import { LONG_TURNS, SHORT_TALKS, TURNS } from "./talks.ts";
import { raiseLargeSegments } from "./word-levels.ts";

/** Threads of `LONG_TURNS` turns. They are the first threads of the file. */
export const LONG_THREADS = 2;

/** Threads of the first short talk, whose words no other thread has. They come next. */
export const RARE_THREADS = 20;

/** Threads that go on at the same time: a run is so many rows behind the run before it in its thread. */
const THREADS_AT_A_TIME = 200;

/** Runs between two commits. */
const RUNS_PER_COMMIT = 100_000;

/** The index of run ids fits into this cache: ids are random, so that each run changes another page of it. */
const MAX_CACHE_KIB = 3_000_000;

/** Bytes of words in memory: the index of words is written in pieces of this size. */
const WORDS_BYTES = 64 * 1024 * 1024;

/** What SQLite takes unless it is told otherwise. */
const USUAL_WORDS_BYTES = 1024 * 1024;

/** When the first run ended, and the time between two runs, in milliseconds. */
const STARTED_AT = Date.UTC(2026, 0, 1);
const RUN_MS = 1000;

/** Called with how much of the work is done, from 0 to 1, and what is done now. */
export type Report = (share: number, label: string) => void;

export interface FileSize {
  readonly runs: number;
  readonly threads: number;
}

/** The size of a file with so many runs, or a few less. */
export function sizeOf(runs: number): FileSize {
  const long = LONG_THREADS * LONG_TURNS;
  const short = Math.max(RARE_THREADS, Math.floor((runs - long) / TURNS));
  return { runs: long + short * TURNS, threads: LONG_THREADS + short };
}

/** Of which talk a thread is. */
function talkOf(thread: number): number {
  if (thread < LONG_THREADS) return SHORT_TALKS;
  const at = thread - LONG_THREADS;
  return at < RARE_THREADS ? 0 : 1 + (at % (SHORT_TALKS - 1));
}

/**
 * Fills an empty file of the runner with copies of the patterns, under other ids and times. Indexes and triggers
 * are taken away, and made again from their own SQL: each is then written once, in its order.
 */
export async function fillFile(
  dbPath: string,
  patterns: readonly ThreadPattern[],
  runs: number,
  report: Report,
): Promise<void> {
  const db = new Database(dbPath, { fileMustExist: true });
  try {
    // A file that is not whole is never used, so it needs no journal. Only an unsafe connection may do without.
    db.unsafeMode();
    for (const pragma of ["journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"]) {
      db.pragma(pragma);
    }
    db.pragma(`cache_size = -${Math.min(MAX_CACHE_KIB, Math.floor(totalmem() / 1024 / 6))}`);
    const later = db
      .prepare<[], { type: string; name: string; sql: string }>(
        `SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
         ORDER BY type`,
      )
      .all();
    for (const { type, name } of later) db.exec(`DROP ${type} ${name}`);
    setWordsBytes(db, WORDS_BYTES);
    const size = sizeOf(runs);
    await copyThreads(db, patterns, size, (share) => report(share * 0.6, "runs"));
    await copyMessages(db, patterns, size, (share) => report(0.6 + share * 0.12, "messages"));
    for (const [at, { name, sql }] of later.entries()) {
      report(0.72 + (0.13 * at) / later.length, name);
      await nextTurn();
      db.exec(sql);
    }
    report(0.85, "merging words");
    setWordsBytes(db, USUAL_WORDS_BYTES);
    await mergeWords(db);
    raiseLargeSegments(db, size.runs);
    db.prepare("INSERT INTO facts_checkpoint (id, up_to) VALUES (1, ?)").run(size.runs);
    report(0.99, "closing");
  } finally {
    db.close();
  }
}

/** https://www.sqlite.org/fts5.html#the_hashsize_configuration_option */
function setWordsBytes(db: Database.Database, bytes: number): void {
  db.exec(`INSERT INTO thread_search (thread_search, rank) VALUES ('hashsize', ${bytes})`);
}

/** Merges words as the runner does when it has time: until there is nothing to merge. */
async function mergeWords(db: Database.Database): Promise<void> {
  const values = new ValueReader(prepareReadValueStatements(db));
  const indexer = new ThreadIndexer(db, values, () => undefined);
  const some = db.transaction(() => {
    for (let pieces = 0; pieces < 1000; pieces++) if (!indexer.merge()) return false;
    return true;
  });
  while (some()) await nextTurn();
}

/** Inserts rows of a table with the columns of `example`, which the row of a pattern has. */
function inserterOf(db: Database.Database, table: string, example: Row) {
  const columns = Object.keys(example);
  const places = columns.map(() => "?").join(", ");
  const statement = db.prepare(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${places})`);
  return (row: Row, changed: Row): void => {
    statement.run(columns.map((column): Value => changed[column] ?? row[column] ?? null));
  };
}

function fill(pattern: TextPattern, ids: readonly string[]): string {
  let text = pattern[0] as string;
  for (let at = 1; at < pattern.length; at += 2) {
    text += ids[pattern[at] as number] + (pattern[at + 1] as string);
  }
  return text;
}

/** A thread whose runs are being copied. */
interface Copied {
  readonly pattern: ThreadPattern;
  readonly ids: readonly string[];
  /** The rows of its runs in `agent_runs`. */
  readonly rows: number[];
}

/** The ids of a thread: none of its numbers is higher than three a run. */
function idsOf(thread: number, { runs }: ThreadPattern): string[] {
  return Array.from({ length: 1 + 3 * runs.length }, (_, at) => uuidOf(thread, at));
}

const endOfRun = (row: number): number => STARTED_AT + row * RUN_MS;

async function copyThreads(
  db: Database.Database,
  patterns: readonly ThreadPattern[],
  size: FileSize,
  report: (share: number) => void,
): Promise<void> {
  const [example] = patterns;
  const [run] = example?.runs ?? [];
  if (example === undefined || run === undefined) throw new Error("there are no talks");
  const insertRun = inserterOf(db, "agent_runs", run.row);
  const insertThread = inserterOf(db, "threads", example.thread);
  const insertState = inserterOf(db, "run_state", example.state);
  const insertFacts = inserterOf(db, "thread_facts", example.facts);
  const insertRange = db.prepare("INSERT INTO search_ranges (range, thread_id) VALUES (?, ?)");
  const insertWords = db.prepare("INSERT INTO thread_search (rowid, words) VALUES (?, ?)");
  let row = 0;
  let range = 0;

  const copyRun = (copied: Copied, { row: of, runId, events, input }: RunPattern) => {
    const { ids, rows } = copied;
    row++;
    rows.push(row);
    insertRun(of, {
      ...{ id: row, thread_id: ids[0] as string, run_id: ids[runId] as string },
      ...{ events: fill(events, ids), input: fill(input, ids), created_at: endOfRun(row) },
    });
  };
  // The words come by their rows: after each step back, the index of words begins a new piece.
  const copyRange = ({ pattern, ids }: Copied, at: number): number | null => {
    const words = pattern.ranges[at];
    if (words === undefined) return null;
    range++;
    insertRange.run(range, ids[0]);
    for (const [offset, text] of words.entries()) insertWords.run(range * 16 + offset, text);
    return range;
  };
  const endThread = ({ pattern, ids, rows }: Copied, lastRange: number | null) => {
    const { thread, state, facts, factsText, indexedRuns } = pattern;
    const thread_id = ids[0] as string;
    const updated_at = endOfRun(rows.at(-1) ?? 0);
    const began = endOfRun(rows[0] ?? 0) - RUN_MS;
    const indexed_up_to = indexedRuns === 0 ? 0 : (rows[indexedRuns - 1] ?? 0);
    insertThread(thread, { thread_id, created_at: began, updated_at, indexed_up_to });
    insertState(state, { thread_id, updated_at });
    const text = fill(factsText, ids).replace(/"endedAt":\d+/, `"endedAt":${updated_at}`);
    insertFacts(facts, { thread_id, up_to: rows.at(-1) ?? 0, facts: text, range: lastRange });
  };
  const copyBlock = (first: number, end: number) => {
    const block: Copied[] = [];
    for (let thread = first; thread < end; thread++) {
      const pattern = patterns[talkOf(thread)] ?? example;
      block.push({ pattern, ids: idsOf(thread, pattern), rows: [] });
    }
    const turns = Math.max(...block.map(({ pattern }) => pattern.runs.length));
    for (let turn = 0; turn < turns; turn++) {
      for (const copied of block) {
        const of = copied.pattern.runs[turn];
        if (of !== undefined) copyRun(copied, of);
      }
    }
    const lastRanges = block.map((): number | null => null);
    const ranges = Math.max(...block.map(({ pattern }) => pattern.ranges.length));
    for (let at = 0; at < ranges; at++) {
      for (const [index, copied] of block.entries()) {
        lastRanges[index] = copyRange(copied, at) ?? lastRanges[index] ?? null;
      }
    }
    for (const [index, copied] of block.entries()) endThread(copied, lastRanges[index] ?? null);
  };

  let thread = 0;
  while (thread < size.threads) {
    const until = row + RUNS_PER_COMMIT;
    db.transaction(() => {
      while (thread < size.threads && row < until) {
        const length = thread < LONG_THREADS ? LONG_THREADS : THREADS_AT_A_TIME;
        const end = Math.min(thread + length, size.threads);
        copyBlock(thread, end);
        thread = end;
      }
    })();
    report(row / size.runs);
    await nextTurn();
  }
  if (row !== size.runs) throw new Error(`expected ${size.runs} runs, wrote ${row}`);
}

/** The messages come in the order of their index, which begins with the thread. */
async function copyMessages(
  db: Database.Database,
  patterns: readonly ThreadPattern[],
  size: FileSize,
  report: (share: number) => void,
): Promise<void> {
  const insert = db.prepare(
    "INSERT INTO thread_messages (thread_id, message_id, digest) VALUES (?, ?, ?)",
  );
  const threads = Array.from({ length: size.threads }, (_, thread) => ({
    ...{ thread, id: threadIdOf(thread) },
  }));
  threads.sort((a, b) => (a.id < b.id ? -1 : 1));
  for (let first = 0; first < threads.length; first += 5000) {
    db.transaction(() => {
      for (const { thread, id } of threads.slice(first, first + 5000)) {
        for (const [at, digest] of patterns[talkOf(thread)]?.messages ?? []) {
          insert.run(id, uuidOf(thread, at), digest);
        }
      }
    })();
    report(first / threads.length);
    await nextTurn();
  }
}
