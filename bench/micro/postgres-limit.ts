import { bigintArray, textArray } from "../../src/store/postgres/binary-arrays.ts";
import type { Connection } from "../../src/store/postgres/connection.ts";
import type { Load, LoadAssignment } from "../workloads/postgres-load.ts";
import { connectTo, rowOfOneRun, SCHEMA, type StoredRow } from "./postgres-row.ts";

const CONNECTIONS = 2;
const ROWS = 100;

/** Inserts the rows of completed runs into a table like that of the runner, with nothing else to do. */
export async function openInsertLoad(assignment: LoadAssignment): Promise<Load> {
  const row = await rowOfOneRun(assignment);
  const connections = Array.from({ length: CONNECTIONS }, () => connectTo(assignment.url));
  const [first] = connections as [Connection];
  const table = `${SCHEMA}.bare_runs`;
  // With the storage of each column, but not with that of the table: it is set here.
  const make = `CREATE TABLE IF NOT EXISTS ${table} (LIKE ${SCHEMA}.runs INCLUDING ALL)
    WITH (toast_tuple_target = 8160)`;
  // Several processes may make it at once.
  await first.use((send) =>
    Promise.all([
      send({ name: "", text: "BEGIN" }),
      send({ name: "", text: "SELECT pg_advisory_xact_lock(1)" }),
      send({ name: "", text: make }),
      send({ name: "", text: "COMMIT" }),
    ]),
  );
  const insert = {
    name: "insert",
    text: `INSERT INTO ${table} (thread_id, epoch, run_id, agent_id, finished_at, input, messages, events)
      SELECT unnest($1::text[]), unnest($2::int8[]), unnest($3::text[]), unnest($4::text[]),
        unnest($5::int8[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[])`,
  };
  const insertUntil = async (connection: Connection, name: string, isOver: () => boolean) => {
    let epoch = 0;
    while (!isOver()) {
      const values = valuesOf(name, ++epoch, row);
      await connection.use((send) => send(insert, values));
    }
    return epoch * ROWS;
  };
  return {
    run: async (name, isOver) => {
      const inserted = connections.map((one, at) => insertUntil(one, `${name}-${at}`, isOver));
      return (await Promise.all(inserted)).reduce((sum, rows) => sum + rows, 0);
    },
    close: async () => {
      await Promise.all(connections.map((connection) => connection.end()));
    },
  };
}

function valuesOf(name: string, epoch: number, row: StoredRow): readonly Buffer[] {
  const ids = Array.from({ length: ROWS }, (_, at) => `${name}-${at}`);
  return [
    textArray(ids),
    bigintArray(ids.map(() => epoch)),
    textArray(ids.map((id) => `${id}-${epoch}`)),
    textArray(ids.map(() => "bench")),
    bigintArray(ids.map(() => Date.now())),
    textArray(ids.map(() => row.input)),
    textArray(ids.map(() => row.messages)),
    textArray(ids.map(() => row.events)),
  ];
}
