import type { Database } from "better-sqlite3";
import { parseFacts } from "../../src/runs/thread-facts.ts";
import { addWords, newWords, type SearchPlace } from "../../workers/sqlite/threads/search-rows.ts";
import {
  prepareIndexStatements,
  prepareThreadStatements,
  type SearchRowStatements,
} from "../../workers/sqlite/threads/statements.ts";
import { addRow } from "../../workers/sqlite/threads/thread-facts.ts";
import { ThreadIndexer } from "../../workers/sqlite/threads/thread-indexer.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import { prepareReadValueStatements } from "../../workers/sqlite/values/statements.ts";

/** A value of a column. */
export type Value = string | number | null;
export type Row = Readonly<Record<string, Value>>;

/** A text with ids in it: every second part is the number of an id, the others are literal. */
export type TextPattern = readonly (string | number)[];

/** The rows of one thread that the runner has stored, with its ids as numbers: 0 is the thread itself. */
export interface ThreadPattern {
  readonly runs: readonly RunPattern[];
  readonly thread: Row;
  readonly state: Row;
  readonly facts: Row;
  readonly factsText: TextPattern;
  /** Which run `threads.indexed_up_to` names, from 1 on; 0 for none. */
  readonly indexedRuns: number;
  /** The rows of `thread_search`, by the ranges of the thread. */
  readonly ranges: readonly (readonly string[])[];
  /** The indexed messages: the number of its id, and its digest. */
  readonly messages: readonly (readonly [id: number, digest: number])[];
}

export interface RunPattern {
  readonly row: Row;
  readonly runId: number;
  readonly events: TextPattern;
  readonly input: TextPattern;
}

const UUID = /([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/;

/** Tables that a thread of the talks has no rows in: a pattern would leave them out. */
const EMPTY = [
  "shared_values",
  "shared_logs",
  "thread_metadata",
  "run_events",
  "unfinished_threads",
];

/** Indexes the threads of a small file to the end, and makes a pattern of each, in the order of the threads. */
export function readPatterns(db: Database): ThreadPattern[] {
  const values = new ValueReader(prepareReadValueStatements(db));
  const indexer = new ThreadIndexer(db, values, () => undefined);
  const never = () => false;
  for (let step = indexer.read(never); step !== null; step = indexer.read(never)) {
    if (step === "read") continue;
    db.transaction(() => indexer.write(never))();
    indexer.committed();
  }
  for (const table of EMPTY) {
    const row = db.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get();
    if (row !== undefined) throw new Error(`the talks were expected to leave ${table} empty`);
  }
  const threads = db
    .prepare<[], string>("SELECT thread_id FROM agent_runs GROUP BY thread_id ORDER BY min(id)")
    .pluck();
  return threads.all().map((threadId) => patternOf(db, values, threadId));
}

function patternOf(db: Database, values: ValueReader, threadId: string): ThreadPattern {
  const numbers = new Map<string, number>([[threadId, 0]]);
  const numberOf = (id: string): number => {
    const known = numbers.get(id) ?? numbers.size;
    numbers.set(id, known);
    return known;
  };
  const parts = (text: string): TextPattern =>
    text.split(UUID).map((part, at) => (at % 2 === 1 ? numberOf(part) : part));
  const rowsOf = (table: string, order = "1") =>
    db
      .prepare<[string], Row>(`SELECT * FROM ${table} WHERE thread_id = ? ORDER BY ${order}`)
      .all(threadId);
  const rowOf = (table: string): Row => {
    const [row] = rowsOf(table);
    if (row === undefined) throw new Error(`a talk has no row in ${table}`);
    return row;
  };
  const rows = rowsOf("agent_runs", "id");
  const runs = rows.map((row) => ({
    ...{ row, runId: numberOf(String(row.run_id)) },
    ...{ events: parts(String(row.events)), input: parts(String(row.input)) },
  }));
  const thread = rowOf("threads");
  const facts = rowOf("thread_facts");
  const { ranges, place } = wordsOf(db, values, threadId);
  return {
    ...{ runs, thread, state: rowOf("run_state") },
    facts: { ...facts, words: place.words, range_rows: place.range_rows },
    factsText: parts(String(facts.facts)),
    indexedRuns: rows.findIndex(({ id }) => id === thread.indexed_up_to) + 1,
    ranges,
    messages: rowsOf("thread_messages").map(({ message_id, digest }) => [
      numberOf(String(message_id)),
      Number(digest),
    ]),
  };
}

/**
 * The words of a thread as the indexer stores them, when runs of many threads come in turn: those of each run in a row
 * of their own. The index itself cannot be read: it has no texts.
 */
function wordsOf(db: Database, values: ValueReader, threadId: string) {
  const ranges: string[][] = [];
  const recorder = {
    ...prepareIndexStatements(db),
    insertRange: { get: () => ranges.push([]) },
    insertSearchRow: { run: (_: number, words: string) => ranges.at(-1)?.push(words) },
  } as unknown as SearchRowStatements;
  const runsOf = prepareThreadStatements(db).runsBehindFacts;
  let facts = parseFacts(null);
  let place: SearchPlace = { range: null, range_rows: 0, words: "" };
  for (const run of runsOf.all(threadId, 0, Number.MAX_SAFE_INTEGER)) {
    const read = addRow(facts, run, values);
    facts = read.facts;
    const known = new Set(place.words === "" ? [] : place.words.split(" "));
    const added = new Set<string>();
    for (const text of read.texts) newWords(text, known, added);
    place = addWords(recorder, { ...place, thread_id: threadId }, known, added);
  }
  return { ranges, place };
}
