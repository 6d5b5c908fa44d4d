import { RunStoreError, type RunStoreErrorCode } from "../index.ts";

/** What the process exits with. `--help` lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, interrupted: 130 } as const;

/** A failure that a command has noticed itself. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const notFound = (message: string) => new CommandFailure(EXIT.notFound, message);
export const wrongUsage = (message: string) => new CommandFailure(EXIT.usage, message);

/** What to do next about errors whose message does not say it. */
const NEXT_STEP: Partial<Record<RunStoreErrorCode, string>> = {
  CORRUPT: "stop the servers, keep a copy of the file, and restore a backup",
  BUSY: "another program holds a lock on the database: try again",
  THREADS_UNSUPPORTED: "this database has no lists of threads in this version",
  BACKUP_UNSUPPORTED: "use pg_dump for a PostgreSQL database",
  DISK_FULL: "make room on the disk, then try again",
  ERASE_INCOMPLETE: "run the same command again",
  CANNOT_CONNECT: "check the URL, and that the server is up",
};

const NOT_FOUND: ReadonlySet<string> = new Set(["THREAD_NOT_FOUND", "RUN_NOT_FOUND"]);

/** How the process ends because of `error`. */
export function outcomeOf(error: unknown): { readonly exitCode: number; readonly message: string } {
  if (error instanceof CommandFailure) return { exitCode: error.exitCode, message: error.message };
  if (error instanceof RunStoreError) {
    const next = NEXT_STEP[error.code];
    const message = `${error.message} (${error.code})${next === undefined ? "" : `\n${next}`}`;
    return { exitCode: NOT_FOUND.has(error.code) ? EXIT.notFound : EXIT.failed, message };
  }
  // The API refuses wrong arguments with a TypeError.
  if (error instanceof TypeError) return { exitCode: EXIT.usage, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
  return { exitCode: isMissing ? EXIT.notFound : EXIT.failed, message };
}
