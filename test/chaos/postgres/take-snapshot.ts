import type { EventLike } from "../../../src/events/event.ts";
import { spanReader } from "../../../src/events/shared/span-texts.ts";
import { readStoredEvents } from "../../../src/events/shared/stored-values.ts";
import type { Chunk } from "../../../src/events/shared/thread-values.ts";
import type { Cluster } from "../../support/postgres-cluster.ts";
import { nameIn, type StoredRun, type StoreSnapshot } from "../snapshot.ts";

const SCHEMA = "durable_agent_runner";

interface RunRow {
  readonly thread_id: string;
  readonly epoch: string;
  readonly run_id: string;
  readonly events: string;
  readonly shared_events: string | null;
}

interface ChunkRow {
  readonly thread_id: string;
  readonly log: string;
  readonly at: string;
  readonly text: string;
}

interface ThreadRow {
  readonly thread_id: string;
  readonly epoch: string;
  readonly owner_id: string | null;
  readonly runs: string;
}

interface JournalRow {
  readonly thread_id: string;
  readonly epoch: string;
  readonly seq: string;
  readonly events: string;
}

/** Reads the tables of the primary like another program, all as of one moment. */
export async function takeSnapshot(cluster: Cluster): Promise<StoreSnapshot> {
  const session = await cluster.openSession();
  try {
    await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const all = async <Row>(sql: string) => (await session.query(sql)).rows as Row[];
    const runs = await all<RunRow>(
      `SELECT thread_id, epoch, run_id, events, shared_events FROM ${SCHEMA}.runs
       ORDER BY thread_id, epoch`,
    );
    const threads = await all<ThreadRow>(
      `SELECT thread_id, epoch, owner_id, runs FROM ${SCHEMA}.threads ORDER BY thread_id`,
    );
    const journal = await all<JournalRow>(
      `SELECT thread_id, epoch, seq, events FROM ${SCHEMA}.journal ORDER BY thread_id, epoch, seq`,
    );
    const chunks = await all<ChunkRow>(
      `SELECT thread_id, log, at, text FROM ${SCHEMA}.shared_values`,
    );
    const [counts] = await all<{ deadlocks: string }>(
      "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    );
    await session.query("COMMIT");
    const segments = journal.map((row) => ({
      ...runOf(row),
      seq: Number(row.seq),
      events: row.events,
    }));
    return {
      integrity: problemsOf(runs, threads, Number(counts?.deadlocks)),
      runs: storedRuns(runs, chunks),
      journal: segments,
      running: threads.filter(({ owner_id }) => owner_id !== null).map(runOf),
      // A host keeps the journals of its ended runs for those who follow them, and does not say so.
      kept: segments,
      keepsJournals: true,
      threads: threads.map((row) => ({ threadId: row.thread_id, runCount: Number(row.runs) })),
    };
  } finally {
    await session.end();
  }
}

const runOf = ({ thread_id, epoch }: { readonly thread_id: string; readonly epoch: string }) => ({
  threadId: thread_id,
  epoch: Number(epoch),
});

function storedRuns(rows: readonly RunRow[], chunks: readonly ChunkRow[]): StoredRun[] {
  const byThread = Map.groupBy(chunks, ({ thread_id }) => thread_id);
  return rows.map((row) => {
    const own = byThread.get(row.thread_id)?.map(chunkOf) ?? [];
    const events = readStoredEvents(row, spanReader(own));
    const runId = nameIn(JSON.parse(events) as EventLike[], row.run_id);
    return { id: `${row.epoch} ${row.thread_id}`, ...runOf(row), runId, events };
  });
}

const chunkOf = ({ log, at, text }: ChunkRow): Chunk => ({
  log: Number(log),
  at: Number(at),
  text,
});

/** What no order of commits, and no order of locks, could have led to. */
function problemsOf(
  runs: readonly RunRow[],
  threads: readonly ThreadRow[],
  deadlocks: number,
): string {
  const epochs = new Map(threads.map(({ thread_id, epoch }) => [thread_id, Number(epoch)]));
  const problems = runs
    .filter(({ thread_id, epoch }) => Number(epoch) > (epochs.get(thread_id) ?? -1))
    .map(
      ({ thread_id, epoch }) => `run ${epoch} of ${thread_id} is of a claim that was never made`,
    );
  if (deadlocks > 0) problems.push(`${deadlocks} deadlock(s)`);
  return problems.length === 0 ? "ok" : problems.join("; ");
}
