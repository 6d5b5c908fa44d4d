import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { sqliteRunStore } from "../store/sqlite/sqlite-run-store.ts";
import { InertRunStore } from "../store/worker-threads/inert-run-store.ts";
import { isOwnThread } from "../store/worker-threads/worker-pool.ts";
import { guardLogger } from "../telemetry/guard-logger.ts";
import { assertNodeVersion } from "./node-version.ts";
import { resolveOptions, type SqliteAgentRunnerOptions } from "./options.ts";
import { StoreAgentRunner } from "./store-agent-runner.ts";

let warnedMemory = false;

/**
 * Warns once that threads are kept in memory. Memory is the default, so an unset environment variable
 * may be the reason. There is no warning outside of production when `dbPath` was set to ":memory:".
 */
function warnMemory({ isAskedFor }: { readonly isAskedFor: boolean }): void {
  if (warnedMemory || (isAskedFor && process.env.NODE_ENV !== "production")) return;
  warnedMemory = true;
  process.emitWarning(
    'SqliteAgentRunner keeps its threads in memory and loses them when the process ends; set "dbPath" to a file, or to ":memory:" to keep them in memory',
    { code: "DURABLE_AGENT_RUNNER_MEMORY" },
  );
}

/**
 * An AgentRunner for `CopilotRuntime` that keeps its threads in a SQLite file.
 *
 * The constructor only checks its options. The first use (`ready`, `run`, `connect`, `isRunning`,
 * `stop`) starts the writer thread. The writer opens the file, migrates it to the current schema and
 * ends the runs that a dead process left. A file that cannot be opened is reported to the logger, to
 * `ready`, and to every `run` and `connect` as a RUN_ERROR with a code.
 *
 * A module that the process preloads may make a runner in a worker thread of this package. Such a runner
 * opens nothing, and refuses its runs with `RUNNER_CLOSED`.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 * @throws {RunStoreError} `NODE_TOO_OLD`.
 */
export class SqliteAgentRunner extends StoreAgentRunner {
  constructor(options?: SqliteAgentRunnerOptions) {
    const { dbPath: givenPath, ...resolved } = resolveOptions(options);
    assertNodeVersion();
    if (isOwnThread()) {
      super({ ...resolved, onInterrupted: false, store: new InertRunStore() });
      return;
    }
    const isMemory = givenPath === ":memory:";
    if (isMemory) warnMemory({ isAskedFor: options?.dbPath !== undefined });
    const dbPath = isMemory ? givenPath : resolve(givenPath);
    const logger = guardLogger(resolved.logger);
    const offersInterrupted = resolved.onInterrupted !== false;
    const own = { logger, dbPath, instanceId: randomUUID(), offersInterrupted };
    const store = sqliteRunStore({ ...resolved, ...own });
    super({ ...resolved, store });
  }
}
