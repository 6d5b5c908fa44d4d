import { execFileSync } from "node:child_process";
import { Client } from "pg";

/** Executes a query in another process, which this one waits for. */
const SCRIPT = `
  const [url, text, ...values] = process.argv.slice(1);
  const { Client } = require("pg");
  const client = new Client({ connectionString: url });
  client.connect()
    .then(() => client.query(text, values))
    .then(({ rows = [] }) => { process.stdout.write(JSON.stringify(rows)); return client.end(); });
`;

/** The rows of a query. Meanwhile, the runners of this process go on. */
export async function queryPostgres<Row>(
  url: string,
  text: string,
  ...values: readonly string[]
): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text, [...values])).rows as Row[];
  } finally {
    await client.end();
  }
}

/** The rows of a query, or none of several statements. Waits, as SQLite does: the same tests run on both. */
export function postgresRows<Row>(url: string, text: string, ...values: readonly string[]): Row[] {
  const args = ["-e", SCRIPT, url, text, ...values];
  const output = execFileSync(process.execPath, args, { cwd: import.meta.dirname });
  return JSON.parse(String(output)) as Row[];
}
