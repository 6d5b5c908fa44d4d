import { withDatabase } from "./database-file.ts";
import { schemaOf } from "./new-runner.ts";
import { postgresRows } from "./postgres-rows.ts";

/**
 * From here on, each run that is stored or removed takes some milliseconds more, on any machine. So a test finds long
 * work in its middle, also when the test is late by seconds. Returns a function that ends this.
 */
export function brake(dbPath: string): () => void {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  return url === undefined ? brakeFile(dbPath) : brakeSchema(url, schemaOf(dbPath));
}

function brakeFile(dbPath: string): () => void {
  const execute = (sql: string) => withDatabase(dbPath, (db) => void db.exec(sql));
  // SQLite cannot sleep.
  const slow = (write: string) => `CREATE TRIGGER brake_${write} AFTER ${write} ON agent_runs
    BEGIN SELECT hex(randomblob(1000000)); END;`;
  execute(slow("INSERT") + slow("DELETE"));
  return () => execute("DROP TRIGGER brake_INSERT; DROP TRIGGER brake_DELETE");
}

/** The same for a schema of PostgreSQL, and for some kinds of writes. */
export function brakeSchema(url: string, schema: string, writes = "INSERT OR DELETE"): () => void {
  // To drop a trigger, PostgreSQL would wait for the work that it slows down.
  const slow = `CREATE TABLE ${schema}.brake (); INSERT INTO ${schema}.brake DEFAULT VALUES;
    CREATE FUNCTION ${schema}.brake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF EXISTS (SELECT 1 FROM ${schema}.brake) THEN PERFORM pg_sleep(0.005); END IF;
      RETURN NULL; END $$;
    CREATE TRIGGER brake AFTER ${writes} ON ${schema}.runs
      FOR EACH ROW EXECUTE FUNCTION ${schema}.brake()`;
  postgresRows(url, slow);
  return () => void postgresRows(url, `DELETE FROM ${schema}.brake`);
}
