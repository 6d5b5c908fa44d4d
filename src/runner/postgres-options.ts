import { MAX_TIMER_MS } from "../retention/limits.ts";
import {
  DEFAULTS,
  integer,
  type Resolved,
  RULES,
  type Rules,
  type RunnerOptions,
  resolveWith,
  type SqliteAgentRunnerOptions,
} from "./options.ts";

/** Options that mean the same for a runner on SQLite. */
type SharedOptions = RunnerOptions &
  Pick<
    SqliteAgentRunnerOptions,
    | "lingerMs"
    | "maxBatchBytes"
    | "maxPendingBytes"
    | "leaseMs"
    | "interruptedNote"
    | "storeRawEvents"
  >;

export interface PostgresAgentRunnerOptions extends SharedOptions {
  /** Where the database is: `postgres://user:password@host:5432/database`, and what else `pg` takes. */
  connectionString: string;
  /**
   * A URL that leads to the same database past any pooler, for LISTEN. Default: `connectionString`. Poolers in
   * transaction mode drop LISTEN: runs of other hosts are then looked for ten times a second.
   */
  listenUrl?: string | undefined;
  /**
   * The schema that holds the tables. It is made if it does not exist. Hosts with the same schema share
   * their threads. Default `"durable_agent_runner"`.
   */
  schema?: string | undefined;
  /**
   * Whether the server prepares the statements. Default true. False for a pooler in transaction mode that
   * keeps no prepared statements, such as PgBouncer before 1.21.
   */
  prepare?: boolean | undefined;
  /**
   * Milliseconds to wait for a connection, and for each answer of the server. A connection without an answer
   * is given up, and what was sent on it is sent again on another one. Default 10 000.
   */
  answerTimeoutMs?: number | undefined;
}

/** A name that needs no quotes. PostgreSQL cuts names of more than 63 characters; the channel's is longer. */
const SCHEMA = /^[a-z_][a-z0-9_]{0,49}$/;

const url = {
  expected: "a URL that begins with postgres:// or postgresql://",
  accepts: (value: unknown) => typeof value === "string" && /^postgres(ql)?:\/\/./.test(value),
  // It has a password in it.
  isSecret: true,
};

/** Options of a runner on SQLite that this one does not have. */
const SQLITE_ONLY = ["dbPath", "durability", "readers"] as const;

type SqliteOnly = (typeof SQLITE_ONLY)[number];

/** `values` by option, without those of SQLite alone. */
function shared<Values extends Record<SqliteOnly, unknown>>(
  values: Values,
): Omit<Values, SqliteOnly> {
  const rest: Partial<Values> = { ...values };
  for (const name of SQLITE_ONLY) delete rest[name];
  return rest as Omit<Values, SqliteOnly>;
}

const POSTGRES_RULES: Rules<PostgresAgentRunnerOptions> = {
  ...shared(RULES),
  connectionString: url,
  listenUrl: url,
  schema: {
    expected: "a name of at most 50 lower-case letters, digits and underscores",
    accepts: (value) => typeof value === "string" && SCHEMA.test(value),
  },
  prepare: {
    expected: "true or false",
    accepts: (value) => typeof value === "boolean",
  },
  answerTimeoutMs: integer(100, MAX_TIMER_MS, "milliseconds"),
};

type ResolvedOptions = Resolved<Omit<PostgresAgentRunnerOptions, "listenUrl">> & {
  readonly listenUrl: string;
};

/**
 * Checks the options of `PostgresAgentRunner` and adds their defaults.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 */
export function resolvePostgresOptions(options: PostgresAgentRunnerOptions): ResolvedOptions {
  const { connectionString, listenUrl = connectionString } = options ?? {};
  const resolved = resolveWith<PostgresAgentRunnerOptions>(
    "PostgresAgentRunner",
    options,
    POSTGRES_RULES,
    {
      ...shared(DEFAULTS),
      maxBatchBytes: 256 * 1024,
      connectionString,
      listenUrl,
      schema: "durable_agent_runner",
      prepare: true,
      answerTimeoutMs: 10_000,
    },
  );
  if (connectionString === undefined) {
    throw new TypeError(
      `PostgresAgentRunner: expected connectionString to be ${url.expected}, got undefined`,
    );
  }
  return resolved;
}
