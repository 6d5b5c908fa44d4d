import { join } from "node:path";
import Database from "better-sqlite3";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { DirectAgent, inputOf, turnIds } from "./agents.ts";
import { cpuPerRun, peakRssMiB, readCpu, writtenBytes, writtenSince } from "./resources.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment } from "./workload.ts";

const ROWS_PER_TRANSACTION = 100;
const CHECKPOINT_BYTES = 32 * 1024 * 1024;

interface Row {
  readonly events: string;
  readonly input: string;
}

/** The row that the runner writes for a run, in a file with its schema. */
async function rowOfOneRun(dbPath: string, eventsPerRun: number): Promise<Row> {
  const runner = await openPeer("durable", dbPath);
  const input = inputOf(turnIds("row", 0));
  await runOnce(runner, new DirectAgent(eventsPerRun), input);
  await runner.close();
  const db = new Database(dbPath, { readonly: true });
  const row = db.prepare<[], Row>("SELECT events, input FROM agent_runs").get();
  db.close();
  if (row === undefined) throw new Error("the run was not stored");
  return row;
}

/** How fast this machine inserts the rows of completed runs, with nothing else to do. */
export async function insertRows(assignment: Assignment, threads: number): Promise<Point> {
  const { directory, seconds, warmUpSeconds, settings } = assignment;
  const { eventsPerRun = 24, turnsPerThread } = settings;
  const dbPath = join(directory, "threads.db");
  const row = await rowOfOneRun(dbPath, eventsPerRun);
  const db = new Database(dbPath);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  // As in the writer: otherwise this would measure checkpoints.
  const pageBytes = Number(db.pragma("page_size", { simple: true }));
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_BYTES / pageBytes}`);
  db.pragma("cache_size = -16384");
  // With an epoch, so that the triggers treat the row as one of this version.
  const insert = db.prepare(
    `INSERT INTO agent_runs
       (thread_id, run_id, events, input, created_at, version, agent_id, epoch)
     VALUES (?, ?, ?, ?, ?, 2, 'bench', 1)`,
  );
  const insertBatch = db.transaction((name: string, from: number) => {
    for (let at = from; at < from + ROWS_PER_TRANSACTION; at++) {
      const turn = Math.floor(at / threads);
      const { threadId, runId } = turnIds(`${name}-${at % threads}`, turn, turnsPerThread);
      insert.run(threadId, runId, row.events, row.input, Date.now());
    }
  });
  const insertFor = (name: string, lasts: number): { rows: number; elapsed: number } => {
    const startedAt = performance.now();
    const until = startedAt + lasts * 1000;
    let rows = 0;
    for (; performance.now() < until; rows += ROWS_PER_TRANSACTION) insertBatch(name, rows);
    return { rows, elapsed: (performance.now() - startedAt) / 1000 };
  };

  insertFor("warm-up", warmUpSeconds);
  const cpu = readCpu();
  const written = writtenBytes();
  const { rows, elapsed } = insertFor("thread", seconds);
  const cpuAfter = readCpu();
  const bytes = writtenSince(written);
  db.close();
  const figures = {
    runsPerSecond: rows / elapsed,
    eventsPerSecond: (rows * eventsPerRun) / elapsed,
    ...cpuPerRun(cpu, cpuAfter, rows),
    bytesPerEvent: bytes === null ? null : bytes / (rows * eventsPerRun),
    rssMiB: peakRssMiB(),
  };
  return { x: threads, figures };
}
