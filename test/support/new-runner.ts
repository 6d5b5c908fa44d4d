import { createHash } from "node:crypto";
import { SqliteAgentRunner, type SqliteAgentRunnerOptions } from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";

/** The schema that stands for a file in the tests that run on PostgreSQL too. */
export const schemaOf = (dbPath: string) =>
  `test_${createHash("sha256").update(dbPath).digest("hex").slice(0, 32)}`;

/**
 * The runner of a test: on the file of its options, or on the database that the environment variable
 * `RUNNER_POSTGRES_URL` names, where each file has a schema. Inherited by the processes of a test.
 */
export function newRunner(options: SqliteAgentRunnerOptions): SqliteAgentRunner {
  const { RUNNER_POSTGRES_URL: connectionString } = process.env;
  if (connectionString === undefined) return new SqliteAgentRunner(options);
  const { dbPath = "", durability: _, readers: __, ...rest } = options;
  return new PostgresAgentRunner({ ...rest, connectionString, schema: schemaOf(dbPath) });
}
