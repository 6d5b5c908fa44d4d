import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import type { Liveness } from "../instances/liveness.ts";
import type { ReaderStatements } from "./statements.ts";

/** What reading works on: a connection, a reader's or the writer's own, and who asks. */
export interface ReaderContext {
  readonly db: Database;
  readonly statements: ReaderStatements;
  readonly config: WorkerConfig;
  readonly liveness: Liveness;
}
