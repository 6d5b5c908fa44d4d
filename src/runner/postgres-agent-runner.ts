import { randomUUID } from "node:crypto";
import { postgresRunStore } from "../store/postgres/postgres-run-store.ts";
import { InertRunStore } from "../store/worker-threads/inert-run-store.ts";
import { isOwnThread } from "../store/worker-threads/worker-pool.ts";
import { guardLogger } from "../telemetry/guard-logger.ts";
import { assertNodeVersion } from "./node-version.ts";
import { type PostgresAgentRunnerOptions, resolvePostgresOptions } from "./postgres-options.ts";
import { StoreAgentRunner } from "./store-agent-runner.ts";

/**
 * An AgentRunner for `CopilotRuntime` that keeps its threads in a PostgreSQL database. Any number of hosts
 * may have a runner on one database: each follows and stops the runs of the others, and ends those of a host
 * that died.
 *
 * The constructor only checks its options. The first use (`ready`, `run`, `connect`, `isRunning`, `stop`)
 * connects, and makes the tables if they are not there. The package `pg` has to be installed beside this
 * one. A database that cannot be opened is reported to the logger, to `ready`, and to every `run` and
 * `connect` as a RUN_ERROR with a code. While a server that was open is away, runs go on: what they emit is
 * stored when it is back, up to `maxPendingBytes`.
 *
 * `threads.erase` reaches the rows of the tables, and their dead versions where the user may VACUUM. It does not
 * reach the write-ahead log, replicas and backups.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 * @throws {RunStoreError} `NODE_TOO_OLD`.
 */
export class PostgresAgentRunner extends StoreAgentRunner {
  constructor(options: PostgresAgentRunnerOptions) {
    const resolved = resolvePostgresOptions(options);
    assertNodeVersion();
    if (isOwnThread()) {
      super({ ...resolved, onInterrupted: false, store: new InertRunStore() });
      return;
    }
    const logger = guardLogger(resolved.logger);
    const offersInterrupted = resolved.onInterrupted !== false;
    const own = { logger, instanceId: randomUUID(), offersInterrupted };
    const store = postgresRunStore({ ...resolved, ...own });
    super({ ...resolved, store });
  }
}
