// Given to a process with `--import`, and so executed in each of its threads: makes a runner, as a
// module does that an instrumentation loads. Writes down each thread that executes it.
import { appendFileSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { SqliteAgentRunner } from "../../../src/index.ts";

const { DB_PATH = "", THREADS_LOG = "" } = process.env;
appendFileSync(THREADS_LOG, `${threadId}\n`);
export const runner = new SqliteAgentRunner({ dbPath: DB_PATH });
await runner.ready();
