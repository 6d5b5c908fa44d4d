import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../src/protocol/messages.ts";
import type { MessageIndex } from "./message-index.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import type { WriterStatements } from "./statements.ts";

/** What the writer's operations work on: its one connection, and who it is. */
export interface WriterContext {
  readonly db: Database;
  readonly statements: WriterStatements;
  readonly messages: MessageIndex;
  readonly config: WorkerConfig;
  readonly identity: ProcessIdentity;
}
