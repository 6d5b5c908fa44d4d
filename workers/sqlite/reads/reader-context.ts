import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import type { Liveness } from "../instances/liveness.ts";
import type { ReaderStatements } from "./statements.ts";

/** What reads work on: the connection of a reader, or the writer's for a database in memory. */
export interface ReaderContext {
  readonly db: Database;
  readonly statements: ReaderStatements;
  readonly config: WorkerConfig;
  readonly liveness: Liveness;
}
