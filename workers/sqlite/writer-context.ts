import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../src/protocol/messages.ts";
import { Journals } from "./journals.ts";
import { MessageIndex } from "./message-index.ts";
import { ownIdentity, type ProcessIdentity } from "./process-identity.ts";
import { prepareWriterStatements, type WriterStatements } from "./statements.ts";

/** What the writer's operations work on: its one connection, what it knows of it, and who it is. */
export interface WriterContext {
  readonly db: Database;
  readonly statements: WriterStatements;
  readonly messages: MessageIndex;
  readonly journals: Journals;
  readonly config: WorkerConfig;
  readonly identity: ProcessIdentity;
}

export function createWriterContext(db: Database, config: WorkerConfig): WriterContext {
  const statements = prepareWriterStatements(db);
  const messages = new MessageIndex(statements);
  const journals = new Journals(statements, config.instanceId);
  return { db, statements, messages, journals, config, identity: ownIdentity() };
}

/** Forgets what was learned in a transaction that is rolled back: it is not true any more. */
export function forgetUncommitted({ messages, journals }: WriterContext): void {
  messages.reset();
  journals.reset();
}
