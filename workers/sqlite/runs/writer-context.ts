import type { Database } from "better-sqlite3";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { prepareTransactionStatements } from "../database/statements.ts";
import type { InstanceContext } from "../instances/instances.ts";
import { Liveness } from "../instances/liveness.ts";
import { ownIdentity } from "../instances/process-identity.ts";
import { prepareInstanceStatements } from "../instances/statements.ts";
import { JournalIndex } from "../state/journal-index.ts";
import { MessageIndex } from "../state/message-index.ts";
import { prepareJournalStatements, prepareMessageStatements } from "../state/statements.ts";
import {
  prepareSearchRowStatements,
  prepareTouchStatements,
  prepareUpdateThreadStatements,
} from "../threads/statements.ts";
import { ThreadTouches } from "../threads/thread-touches.ts";
import { SharedValues } from "../values/shared-values.ts";
import { preparePartStatements, prepareValueStatements } from "../values/statements.ts";
import { LongRuns } from "./long-runs.ts";
import { prepareRunStatements } from "./statements.ts";

/** Every statement that the writer runs once it is open, prepared once. */
function prepareWriterStatements(db: Database) {
  return {
    ...prepareTransactionStatements(db),
    ...prepareInstanceStatements(db),
    ...prepareJournalStatements(db),
    ...prepareMessageStatements(db),
    ...prepareRunStatements(db),
    ...prepareValueStatements(db),
    ...preparePartStatements(db),
    ...prepareUpdateThreadStatements(db),
    ...prepareSearchRowStatements(db),
    ...prepareTouchStatements(db),
  };
}

export type WriterStatements = ReturnType<typeof prepareWriterStatements>;

/** What the writer's operations work on: the connection, and what the writer remembers of the file. */
export interface WriterContext extends InstanceContext {
  readonly db: Database;
  readonly statements: WriterStatements;
  readonly messages: MessageIndex;
  readonly journals: JournalIndex;
  readonly longRuns: LongRuns;
  readonly values: SharedValues;
  readonly touches: ThreadTouches;
}

export function createWriterContext(
  db: Database,
  config: WorkerConfig,
  file: string | null = null,
): WriterContext {
  const statements = prepareWriterStatements(db);
  const messages = new MessageIndex(statements);
  const journals = new JournalIndex(statements, config.instanceId);
  const identity = ownIdentity();
  const { instanceId } = config;
  const liveness = new Liveness({ statements, instanceId, identity, file });
  const longRuns = new LongRuns(statements, journals);
  const values = new SharedValues(statements);
  const touches = new ThreadTouches(statements);
  return {
    db,
    statements,
    messages,
    journals,
    longRuns,
    values,
    touches,
    config,
    identity,
    liveness,
    file,
  };
}

/** Forgets what the writer remembers of the file. Called for a rollback, which may make it wrong. */
export function forgetUncommitted(context: WriterContext): void {
  const { messages, journals, longRuns, values, touches } = context;
  messages.reset();
  journals.reset();
  longRuns.reset();
  values.reset();
  touches.reset();
}
