// Loaded with `--import`, and so executed in each thread of the process. Makes a runner, like a module
// that an instrumentation loads. Notes each thread that executes it.
import { appendFileSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { SqliteAgentRunner } from "../../../src/index.ts";

const { DB_PATH = "", THREADS_LOG = "" } = process.env;
appendFileSync(THREADS_LOG, `${threadId}\n`);
export const runner = new SqliteAgentRunner({ dbPath: DB_PATH });
await runner.ready();
