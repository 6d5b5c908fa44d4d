/**
 * What can go wrong, by code. Code branches on these, never on messages.
 *
 * Opening: `NODE_TOO_OLD`, `NATIVE_MODULE_FAILED`, `CANNOT_OPEN`, `NAME_TOO_LONG`, `READ_ONLY`,
 * `NOT_A_DATABASE`, `FOREIGN_FILE` (a database of another application), `CORRUPT`, `SCHEMA_TOO_NEW`.
 * Writing: `DISK_FULL`, `IO_ERROR`, `BUSY`, `WRITER_DIED` (all retried), `WRITER_FAILED` (an operation
 * that ended its writer again and again), `STORE_FAILED`, `FILE_REPLACED` (the database file or its WAL
 * was deleted, moved or replaced while it was open: this runner stores nothing any more). Reading: `READER_DIED`, `FOLLOW_LOST` (a run
 * of another process ended while this one was not looking; connect again to see it whole).
 * Running: `THREAD_ALREADY_RUNNING`, `LEASE_LOST`, `QUEUE_FULL`, `RUNNER_CLOSED`, `PERSISTENCE_FAILED`,
 * `RUN_INTERRUPTED`, `INCOMPLETE_STREAM`.
 * Closing: `CLOSE_INCOMPLETE`.
 * Backing up: `BACKUP_EXISTS` (there is a file of that name), `BACKUP_UNSUPPORTED` (by the store), and
 * those of opening and writing.
 */
export type RunStoreErrorCode =
  | "NODE_TOO_OLD"
  | "NATIVE_MODULE_FAILED"
  | "CANNOT_OPEN"
  | "NAME_TOO_LONG"
  | "READ_ONLY"
  | "NOT_A_DATABASE"
  | "FOREIGN_FILE"
  | "CORRUPT"
  | "SCHEMA_TOO_NEW"
  | "DISK_FULL"
  | "IO_ERROR"
  | "BUSY"
  | "WRITER_DIED"
  | "WRITER_FAILED"
  | "READER_DIED"
  | "FOLLOW_LOST"
  | "STORE_FAILED"
  | "FILE_REPLACED"
  | "THREAD_ALREADY_RUNNING"
  | "LEASE_LOST"
  | "QUEUE_FULL"
  | "RUNNER_CLOSED"
  | "PERSISTENCE_FAILED"
  | "RUN_INTERRUPTED"
  | "INCOMPLETE_STREAM"
  | "CLOSE_INCOMPLETE"
  | "BACKUP_EXISTS"
  | "BACKUP_UNSUPPORTED";

/** An error as it crosses a thread boundary, where an Error subclass would lose its class and code. */
export interface StoreFault {
  readonly code: RunStoreErrorCode;
  readonly message: string;
}

const RETRYABLE: ReadonlySet<RunStoreErrorCode> = new Set([
  "DISK_FULL",
  "IO_ERROR",
  "BUSY",
  "WRITER_DIED",
]);

/** Every error that leaves this package, other than a `TypeError` for misuse. */
export class RunStoreError extends Error {
  override readonly name = "RunStoreError";
  readonly code: RunStoreErrorCode;

  constructor(code: RunStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** True when the same write may succeed later: the disk may have room again, a lock may go. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
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

/** What a thrown value says, as a string. Agents throw anything, and reading it may throw again. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "an error that cannot be read";
  }
}
