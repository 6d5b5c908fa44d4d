import { Connection } from "../../src/store/postgres/connection.ts";
import { openPeer } from "../peers/open-peer.ts";
import { DirectAgent, inputOf } from "../workloads/agents.ts";
import type { LoadAssignment } from "../workloads/postgres-load.ts";
import { runOnce } from "../workloads/run-once.ts";

export const SCHEMA = "durable_agent_runner";

export interface StoredRow {
  readonly input: string;
  readonly messages: string;
  readonly events: string;
}

export function connectTo(connectionString: string): Connection {
  return new Connection({ connectionString, prepare: true, answerTimeoutMs: 60_000 });
}

/** The row that the runner writes for a run. It makes the tables, too. */
export async function rowOfOneRun({ url, eventsPerRun }: LoadAssignment): Promise<StoredRow> {
  const runner = await openPeer("postgres", url);
  const threadId = `row-of-${process.pid}`;
  await runOnce(
    runner,
    new DirectAgent(eventsPerRun),
    inputOf({ threadId, runId: `${threadId}-0` }),
  );
  await runner.close();
  const connection = connectTo(url);
  const text = `SELECT input, messages, events FROM ${SCHEMA}.runs WHERE thread_id = $1`;
  const { rows } = await connection.use((send) => send({ name: "", text }, [threadId]));
  await connection.end();
  const [row] = rows as StoredRow[];
  if (row === undefined) throw new Error("the run was not stored");
  return row;
}
