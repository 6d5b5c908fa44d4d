import { existsSync } from "node:fs";
import {
  EVERY_RESOURCE,
  inspectDatabase,
  type Logger,
  SqliteAgentRunner,
  type StoreAgentRunner,
  withResource,
} from "../index.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { shown } from "./format.ts";
import { expectFile, type Place, placeOf } from "./place.ts";
import { isClosed, note } from "./print.ts";

/** The options of every command that opens a database. */
export interface CommonOptions {
  readonly db?: string;
  readonly schema?: string;
  readonly json?: boolean;
  readonly resource?: string;
  /** Whether a file of an older version is migrated. Not an option of the command line. */
  readonly migrates?: boolean;
  /** Whether a file that is not there is made. Not an option of the command line. */
  readonly makes?: boolean;
}

export interface Session {
  readonly runner: StoreAgentRunner;
  readonly place: Place;
  /** Aborted by Ctrl-C, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
}

/** How often it is looked whether stdout is still read. */
const LOOK_EVERY_MS = 100;

/**
 * Calls `work` with an open runner, in the scope of `--resource` or of all resources, and closes the runner.
 *
 * The runner is one more beside those of the servers: as any other, it ends the runs of dead processes.
 */
export async function withRunner(
  options: CommonOptions,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const place = placeOf(options.db);
  if (place.kind === "sqlite" && options.migrates !== true) {
    const isMade = options.makes === true && !existsSync(place.dbPath);
    if (!isMade) await expectCurrentFile(place.dbPath);
  }
  const log = new HeldLog();
  const runner = await openRunner(place, options, log);
  const ended = new AbortController();
  const interrupt = () => ended.abort(new CommandFailure(EXIT.interrupted, "interrupted"));
  // The second Ctrl-C ends the process at once.
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const name of signals) process.once(name, interrupt);
  // Whoever reads the output may go away while nothing is printed.
  const look = setInterval(() => {
    if (isClosed()) ended.abort(new CommandFailure(EXIT.ok, ""));
  }, LOOK_EVERY_MS);
  look.unref();
  try {
    await runner.ready();
    log.release();
    const scope = options.resource ?? EVERY_RESOURCE;
    await withResource(scope, () => work({ runner, place, signal: ended.signal }));
  } finally {
    clearInterval(look);
    for (const name of signals) process.off(name, interrupt);
    await runner.close();
  }
}

/** A file of an older version is not migrated unasked: its server may not be ready for that. */
async function expectCurrentFile(dbPath: string): Promise<void> {
  expectFile(dbPath);
  const { schemaVersion, currentVersion } = await inspectDatabase(dbPath);
  if (schemaVersion === currentVersion) return;
  const has = schemaVersion === 0 ? "is empty" : `has the schema of version ${schemaVersion}`;
  throw new CommandFailure(
    EXIT.failed,
    `${dbPath} ${has}, and this release reads version ${currentVersion}. To migrate it in place, run
  durable-agent-runner migrate --db ${dbPath}
A server with this release migrates it as well, when it opens the file.`,
  );
}

async function openRunner(
  place: Place,
  { schema }: CommonOptions,
  logger: Logger,
): Promise<StoreAgentRunner> {
  if (place.kind === "sqlite") return new SqliteAgentRunner({ dbPath: place.dbPath, logger });
  // `pg` may not be installed.
  const { PostgresAgentRunner } = await import("../postgres.ts");
  return new PostgresAgentRunner({ connectionString: place.connectionString, schema, logger });
}

/** Warnings go to stderr once the database is open: a failure to open is thrown as well. */
class HeldLog implements Logger {
  #held: string[] | null = [];

  debug() {}
  info() {}
  warn(fields: object, message: string) {
    this.#add("warning", fields, message);
  }
  error(fields: object, message: string) {
    this.#add("error", fields, message);
  }

  release() {
    for (const line of this.#held ?? []) note(line);
    this.#held = null;
  }

  #add(level: string, fields: object, message: string) {
    const { err, recovered } = fields as { err?: unknown; recovered?: unknown };
    const reason = err instanceof Error ? `: ${err.message}` : "";
    const number = typeof recovered === "number" ? `: ${recovered}` : "";
    const line = shown(`${level}: ${message}${number}${reason}`);
    if (this.#held === null) note(line);
    else this.#held.push(line);
  }
}
