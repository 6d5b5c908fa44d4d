interface CodeMeaning {
  readonly meaning: string;
  /** Whether the same write may succeed later: the disk may have room again, a lock may be released. */
  readonly retryable: boolean;
}

const fatal = (meaning: string): CodeMeaning => ({ meaning, retryable: false });
const passing = (meaning: string): CodeMeaning => ({ meaning, retryable: true });

/** The meaning of every error code. */
const CODES = {
  // Opening.
  NODE_TOO_OLD: fatal("this version of Node cannot run the package"),
  NATIVE_MODULE_FAILED: fatal("the SQLite driver could not be loaded"),
  CANNOT_OPEN: fatal("the database cannot be opened"),
  CANNOT_CONNECT: passing("the database server cannot be reached"),
  NAME_TOO_LONG: fatal("the path of the database is longer than the system or SQLite allows"),
  READ_ONLY: fatal("the database cannot be written to"),
  NOT_A_DATABASE: fatal("the file is no SQLite database"),
  FOREIGN_FILE: fatal("the file is the database of another application"),
  CORRUPT: fatal("the database is damaged"),
  SCHEMA_TOO_NEW: fatal("a newer version of the package has written the database"),
  // Writing.
  DISK_FULL: passing("the disk has no room"),
  IO_ERROR: passing("the disk could not be read or written"),
  BUSY: passing("another program holds a lock on the database"),
  CONNECTION_LOST: passing("the connection to the database server ended before its answer came"),
  WRITER_DIED: passing("the thread that writes has ended, and another one takes its place"),
  NO_WRITER: passing("no writer thread could open the database yet: nothing was sent to it"),
  WRITER_FAILED: fatal("an operation ended the thread that writes again and again"),
  STORE_FAILED: fatal("the run could not be stored, for a reason that has no code of its own"),
  FILE_REPLACED: fatal(
    "the database file or its WAL was deleted, moved or replaced while it was open: this runner stores nothing any more",
  ),
  // Reading.
  READER_DIED: fatal("the thread that reads has ended"),
  FOLLOW_LOST: fatal(
    "a run of another process ended while this one was not looking; connect again to see it whole",
  ),
  // Running.
  THREAD_ALREADY_RUNNING: fatal("another run holds the thread"),
  LEASE_LOST: fatal("another run has taken the thread over"),
  QUEUE_FULL: fatal("more is waiting to be written than the store is willing to hold"),
  RUNNER_CLOSED: fatal("the runner is closed"),
  PERSISTENCE_FAILED: fatal("a run could not be stored"),
  RUN_INTERRUPTED: fatal("the process that executed the run ended before the run did"),
  INCOMPLETE_STREAM: fatal("the agent failed, or ended without a terminal event"),
  // Threads.
  THREAD_NOT_FOUND: fatal("there is no such thread, or it belongs to another resource"),
  RUN_NOT_FOUND: fatal("the thread has no such run"),
  THREAD_ID_TOO_LONG: fatal("the database cannot hold a thread id of this length"),
  THREAD_EXISTS: fatal("there is a thread of this id already"),
  RESOURCE_REQUIRED: fatal("the runner refuses calls outside any withResource"),
  RESOURCES_UNSUPPORTED: fatal("the store does not tell the threads of different resources apart"),
  INVALID_CURSOR: fatal("the cursor belongs to another query, or is no cursor"),
  THREADS_UNSUPPORTED: fatal("the store of this runner lists no threads"),
  ERASE_INCOMPLETE: fatal("the files of the database may still hold what was erased"),
  // Moving threads.
  TRANSFER_UNSUPPORTED: fatal("the store of this runner cannot export or import threads"),
  EXPORT_DAMAGED: fatal("the records are cut off, or are not those that were exported"),
  IMPORT_LOST: passing("the import of a thread was cut off, and has left nothing: import it again"),
  // Closing.
  CLOSE_INCOMPLETE: fatal("something could not be stored before the runner was closed"),
  // Backing up: these, and the codes of opening and writing.
  BACKUP_EXISTS: fatal("there is a file where the backup is to be"),
  BACKUP_UNSUPPORTED: fatal("the store has no backups of its own"),
} as const satisfies Readonly<Record<string, CodeMeaning>>;

/** The code of an error. Branch on codes, never on messages. */
export type RunStoreErrorCode = keyof typeof CODES;

/** An error as it crosses a thread boundary, where an Error subclass would lose its class and code. */
export interface StoreFault {
  readonly code: RunStoreErrorCode;
  readonly message: string;
}

/** Every error that this package throws across its public boundary, except a `TypeError` for misuse. */
export class RunStoreError extends Error {
  override readonly name = "RunStoreError";
  readonly code: RunStoreErrorCode;

  constructor(code: RunStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /**
   * True when the same write may succeed later: the disk may have room again, a lock may be released.
   */
  get retryable(): boolean {
    // A store written in JavaScript may use codes that are not in the table.
    const known: CodeMeaning | undefined = CODES[this.code];
    return known?.retryable === true;
  }

  static from(fault: StoreFault): RunStoreError {
    return new RunStoreError(fault.code, fault.message);
  }
}

/** `error` as a RunStoreError: itself, or wrapped under `code`. */
export function toRunStoreError(
  error: unknown,
  code: RunStoreErrorCode = "STORE_FAILED",
): RunStoreError {
  if (error instanceof RunStoreError) return error;
  return new RunStoreError(code, messageOf(error), { cause: error });
}

/** The message of a thrown value. Agents throw any value, and reading that value may throw again. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "an error that cannot be read";
  }
}
