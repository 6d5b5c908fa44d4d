import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { Liveness } from "../instances/liveness.ts";
import { ownIdentity, type ProcessIdentity } from "../instances/process-identity.ts";
import { Journals } from "../state/journal-index.ts";
import { MessageIndex } from "../state/message-index.ts";
import { prepareWriterStatements, type WriterStatements } from "../statements.ts";
import { LongRuns } from "./long-runs.ts";

/** What the writer's operations work on: its one connection, what it knows of it, and who it is. */
export interface WriterContext {
  readonly db: Database;
  readonly statements: WriterStatements;
  readonly messages: MessageIndex;
  readonly journals: Journals;
  readonly longRuns: LongRuns;
  readonly config: WorkerConfig;
  readonly identity: ProcessIdentity;
  readonly liveness: Liveness;
  /** Real path of the database file, or null for one in memory. */
  readonly file: string | null;
}

export function createWriterContext(
  db: Database,
  config: WorkerConfig,
  file: string | null = null,
): WriterContext {
  const statements = prepareWriterStatements(db);
  const messages = new MessageIndex(statements);
  const journals = new Journals(statements, config.instanceId);
  const identity = ownIdentity();
  const { instanceId } = config;
  const liveness = new Liveness({ statements, instanceId, identity, file });
  const longRuns = new LongRuns(statements, journals);
  return { db, statements, messages, journals, longRuns, config, identity, liveness, file };
}

/** Forgets what was learned in a transaction that is rolled back: it is not true any more. */
export function forgetUncommitted({ messages, journals, longRuns }: WriterContext): void {
  messages.reset();
  journals.reset();
  longRuns.reset();
}
