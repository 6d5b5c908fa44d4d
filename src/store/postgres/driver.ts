import { messageOf, RunStoreError, type RunStoreErrorCode } from "../../protocol/errors.ts";

/** What this package needs of `pg`, an optional peer dependency. */
export interface PgClient {
  connect(): Promise<unknown>;
  query(config: PgQuery): Promise<PgResult>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notification", listener: (notification: PgNotification) => void): unknown;
  /** Its socket. With TLS, another one than before the connection was made. */
  readonly connection?: { readonly stream?: PgSocket };
}

export interface PgSocket {
  ref(): unknown;
  unref(): unknown;
  destroy(): unknown;
}

export interface PgQuery {
  readonly text: string;
  /** Names a statement that the server prepares once per connection. */
  readonly name?: string;
  readonly values?: readonly unknown[];
}

export interface PgResult {
  // biome-ignore lint/suspicious/noExplicitAny: the statement's own type says what its rows are.
  readonly rows: any[];
  readonly rowCount: number | null;
  /** The command that was executed: `COMMIT`, or `ROLLBACK` for a commit of a failed transaction. */
  readonly command: string;
}

export interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

export interface PgClientConfig {
  readonly connectionString: string;
  readonly pipeline?: boolean;
  readonly keepAlive?: boolean;
  readonly application_name?: string;
  readonly types?: { getTypeParser(oid: number): (value: string) => unknown };
}

export type PgClientClass = new (config: PgClientConfig) => PgClient;

const INT8 = 20;
const INT4 = 23;
const BOOL = 16;
const BYTEA = 17;

/** Texts as they are; numbers that JavaScript holds exactly. */
export const types = {
  getTypeParser: (oid: number) => {
    if (oid === INT8 || oid === INT4) return Number;
    if (oid === BYTEA) return (value: string) => Buffer.from(value.slice(2), "hex");
    if (oid === BOOL) return (value: string) => value === "t";
    return (value: string) => value;
  },
};

/** @throws {RunStoreError} `CANNOT_OPEN`: the package `pg` is not installed. */
export async function loadDriver(): Promise<PgClientClass> {
  try {
    const { default: pg } = (await import("pg")) as unknown as {
      default: { Client: PgClientClass };
    };
    return pg.Client;
  } catch (cause) {
    throw new RunStoreError(
      "CANNOT_OPEN",
      `the package "pg" could not be loaded; install it: npm install pg (${messageOf(cause)})`,
      { cause },
    );
  }
}

/** What an error of the driver means. */
export interface Failure {
  readonly error: RunStoreError;
  /** Whether the connection is of no more use: it is closed, or its server no longer takes writes. */
  readonly endsConnection: boolean;
}

/**
 * What an error means for the connection that it came from, and for a later try. Null for an error that is
 * no error of the driver. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function failureOf(cause: unknown): Failure | null {
  if (cause instanceof RunStoreError) {
    return { error: cause, endsConnection: cause.code === "CONNECTION_LOST" };
  }
  const state = sqlStateOf(cause);
  if (state === null) {
    // What the socket says: "Connection terminated unexpectedly" has no code at all.
    return isOfSocket(cause) ? failure("CONNECTION_LOST", cause, true) : null;
  }
  switch (state.slice(0, 2)) {
    case "08":
      return failure("CONNECTION_LOST", cause, true);
    case "53":
      // 53100: the disk is full, and the connection is as good as any other.
      if (state === "53100") return failure("DISK_FULL", cause, false);
      return failure("CONNECTION_LOST", cause, true);
    case "57":
      // 57014: a statement was cancelled. Else the server was shut down, crashed or starts.
      if (state === "57014") return failure("BUSY", cause, false);
      return failure("CONNECTION_LOST", cause, true);
    case "58":
      return failure("IO_ERROR", cause, true);
  }
  switch (state) {
    // A standby: the server that this name leads to has changed its role. Connect again, to the new primary.
    case "25006":
      return failure("CONNECTION_LOST", cause, true);
    // Ended by the server, which held the locks of a transaction for too long.
    case "25P03":
    case "25P04":
      return failure("CONNECTION_LOST", cause, true);
    // A prepared statement that another connection of a pooler has, or has not.
    case "26000":
    case "42P05":
      return failure("CONNECTION_LOST", cause, true, "; behind a pooler, set prepare: false");
    // Serialization, deadlock, a lock that was not free.
    case "40001":
    case "40P01":
    case "55P03":
      return failure("BUSY", cause, false);
    case "42501":
      return failure("CANNOT_OPEN", cause, false);
    case "XX001":
    case "XX002":
      return failure("CORRUPT", cause, false);
  }
  return failure("STORE_FAILED", cause, false);
}

/** Whether the server is there and lets nobody in, for a reason that stays. */
export function isRefusal(cause: unknown): boolean {
  return /^(28|3D|42501)/.test(sqlStateOf(cause) ?? "");
}

/** Null for an error of a socket: `EPIPE` would pass for an SQLSTATE. */
export function sqlStateOf(cause: unknown): string | null {
  const { code, syscall } = (cause ?? {}) as { code?: unknown; syscall?: unknown };
  if (syscall !== undefined) return null;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

/** Errors of sockets have a `syscall` or a code. Those of the driver itself are plain `Error`s. */
function isOfSocket(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  return cause.constructor === Error || Object.hasOwn(cause, "code");
}

function failure(
  code: RunStoreErrorCode,
  cause: unknown,
  endsConnection: boolean,
  advice = "",
): Failure {
  const error = new RunStoreError(code, `PostgreSQL: ${messageOf(cause)}${advice}`, { cause });
  return { error, endsConnection };
}
