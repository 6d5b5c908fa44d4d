import { messageOf, RunStoreError, type RunStoreErrorCode } from "../../protocol/errors.ts";

/** What this package needs of `pg`, an optional peer dependency. */
export interface PgClient {
  connect(): Promise<unknown>;
  query(config: PgQuery): Promise<PgResult>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notification", listener: (notification: PgNotification) => void): unknown;
  readonly connection?: { readonly stream?: { destroy(): void } };
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
  readonly connectionTimeoutMillis?: number;
  readonly keepAlive?: boolean;
  readonly application_name?: string;
  readonly types?: { getTypeParser(oid: number): (value: string) => unknown };
}

export type PgClientClass = new (config: PgClientConfig) => PgClient;

const INT8 = 20;
const INT4 = 23;
const BOOL = 16;

/** Texts as they are; numbers that JavaScript holds exactly. */
export const types = {
  getTypeParser: (oid: number) => {
    if (oid === INT8 || oid === INT4) return Number;
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

/** What an error means for the connection that it came from, and for whoever waits for the answer. */
export interface Failure {
  readonly error: RunStoreError;
  /** Whether the connection is of no more use: it is closed, or its server no longer takes writes. */
  readonly endsConnection: boolean;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
export function failureOf(cause: unknown): Failure {
  if (cause instanceof RunStoreError) return { error: cause, endsConnection: true };
  const sqlState = (cause as { code?: unknown } | null)?.code;
  const state = typeof sqlState === "string" && /^[0-9A-Z]{5}$/.test(sqlState) ? sqlState : null;
  // An error without an SQLSTATE is the socket's: "Connection terminated unexpectedly" has no code at all.
  if (state === null) return failure("CONNECTION_LOST", cause, true);
  // The server was shut down, crashed, or is starting up.
  if (/^57P0[1-5]$/.test(state) || state.startsWith("08")) {
    return failure("CONNECTION_LOST", cause, true);
  }
  // A server that became a standby, or the standby of a failover: connect again, to the new primary.
  if (state === "25006") return failure("CONNECTION_LOST", cause, true);
  if (state === "53100") return failure("DISK_FULL", cause, false);
  if (state.startsWith("53")) return failure("CONNECTION_LOST", cause, true);
  // Serialization, deadlock, a lock that was not free, a statement that was cancelled.
  if (["40001", "40P01", "55P03", "57014", "25P03"].includes(state)) {
    return failure("BUSY", cause, state === "25P03");
  }
  if (state.startsWith("58")) return failure("IO_ERROR", cause, true);
  if (state === "XX001" || state === "XX002") return failure("CORRUPT", cause, false);
  return failure("STORE_FAILED", cause, false);
}

function failure(code: RunStoreErrorCode, cause: unknown, endsConnection: boolean): Failure {
  const error = new RunStoreError(code, `PostgreSQL: ${messageOf(cause)}`, { cause });
  return { error, endsConnection };
}
