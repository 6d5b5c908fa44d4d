import type { RunAgentInput } from "@ag-ui/core";
import { expect } from "vitest";
import { withResource } from "../../src/index.ts";
import { valueIn, withDatabase } from "./database-file.ts";
import { schemaOf } from "./new-runner.ts";
import { openRunner, runToEnd, watch } from "./open-runner.ts";
import { eventually } from "./poll.ts";
import { postgresRows } from "./postgres-rows.ts";
import { puppetAgent } from "./puppet-agent.ts";
import { processInMidRun, RunnerProcess } from "./runner-process.ts";
import { answeringAgent, inputOf, started } from "./scripted-agent.ts";
import { tempDatabase } from "./temp-file.ts";

/*
 * Databases as a crash leaves them. On PostgreSQL, a schema stands for a file: see `newRunner`.
 */

/**
 * A database as a crash leaves it in the middle of run "r" on thread "t": a copy of one whose run executes, in
 * which its instance is gone.
 */
export async function fileOfCrash({
  resourceId,
  ...options
}: Partial<RunAgentInput> & {
  readonly resourceId?: string;
  readonly storeInput?: "full";
  /** Whether the thread has another run before. */
  readonly hasEarlier?: boolean;
} = {}): Promise<string> {
  const { storeInput = "new-messages", hasEarlier = false, ...input } = options;
  const from = tempDatabase();
  const runner = openRunner({ dbPath: from, storeInput, onInterrupted: () => undefined });
  if (hasEarlier) await runToEnd(runner, "t", "earlier", answeringAgent());
  const agent = puppetAgent();
  const run = () => runner.run({ threadId: "t", agent, input: { ...inputOf("t", "r"), ...input } });
  const { done } = watch(resourceId === undefined ? run() : withResource(resourceId, run));
  await agent.started;
  agent.emit(started({ threadId: "t", runId: "r" }));
  await runner.flush();
  const dbPath = tempDatabase();
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) await runner.backup(dbPath);
  else copySchema(url, schemaOf(from), schemaOf(dbPath));
  agent.finish();
  await done;
  await runner.close();
  if (url === undefined) withDatabase(dbPath, (db) => db.exec("DELETE FROM runner_instances"));
  else postgresRows(url, `UPDATE ${schemaOf(dbPath)}.hosts SET closed = true`);
  return dbPath;
}

function copySchema(url: string, from: string, to: string): void {
  const tables = postgresRows<{ name: string }>(
    url,
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = $1",
    from,
  );
  const copies = tables.flatMap(({ name }) => [
    `CREATE TABLE ${to}.${name} (LIKE ${from}.${name} INCLUDING ALL)`,
    `INSERT INTO ${to}.${name} SELECT * FROM ${from}.${name}`,
  ]);
  const isolation = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
  // Several statements in one text are one transaction.
  postgresRows(url, [isolation, `CREATE SCHEMA ${to}`, ...copies].join("; "));
}

/** How many interrupted runs are offered, or taken and neither settled nor run again. */
export function offersIn(dbPath: string): number {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) {
    return Number(valueIn(dbPath, "SELECT count(interrupted_row) FROM run_state"));
  }
  const schema = schemaOf(dbPath);
  const [row] = postgresRows<{ count: string }>(
    url,
    `SELECT count(*) FROM ${schema}.interrupted_runs AS i
     JOIN ${schema}.threads AS t ON t.thread_id = i.thread_id
     WHERE t.owner_id IS NULL AND t.epoch = i.offered_in
       OR t.owner_id IS NOT NULL AND t.epoch = i.rerun_epoch`,
  );
  return Number(row?.count);
}

/** How many segments are journaled that are not kept for clients which may be following a run. */
export function journaledIn(dbPath: string): number {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) {
    const notKept = `SELECT count(*) FROM run_events
      WHERE id NOT IN (SELECT value FROM retained_journals, json_each(segment_ids))`;
    return Number(valueIn(dbPath, notKept));
  }
  const schema = schemaOf(dbPath);
  // Journals of ended runs are kept for a while: those that are not have no run that ended with events.
  const [row] = postgresRows<{ count: string }>(
    url,
    `SELECT count(*) FROM ${schema}.journal AS j WHERE NOT EXISTS (
       SELECT 1 FROM ${schema}.journal AS o
       WHERE o.thread_id = j.thread_id AND o.epoch = j.epoch AND o.seq >= 0)`,
  );
  return Number(row?.count);
}

/** Kills a process in the middle of run "r" on thread "t", which said "so far". */
export async function killInMidRun(dbPath = tempDatabase()): Promise<string> {
  const { owner } = await processInMidRun(dbPath, { onInterrupted: "decline" });
  await owner.kill();
  return dbPath;
}

/** Opens and closes a process, and expects that it has got no interrupted run. */
export async function expectNoneLeft(dbPath: string): Promise<void> {
  const last = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
  // A process looks for interrupted runs when it opens the file.
  await last.flush();
  await eventually(() => offersIn(dbPath) === 0);
  expect(last.interruptedRuns).toEqual([]);
  await last.close();
  expect(journaledIn(dbPath)).toBe(0);
}
