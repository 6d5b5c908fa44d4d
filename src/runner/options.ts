import type { Logger } from "../protocol/logger.ts";
import { adviceOnPath } from "./db-path.ts";
import type { InputMessages } from "./read-input.ts";
import { isConversation, type StoreRun } from "./store-run.ts";

/** What happens to a run on a thread that has one already. */
export type OnConcurrentRun = "throw" | "reject" | "supersede" | "enqueue";

/** What is stored of a run's input. */
export type StoreInput = "new-messages" | "full";

/** Options that any runner takes, whatever keeps its runs. */
export interface RunnerOptions {
  /**
   * What to do with a run on a thread that has one already: throw (default), answer with a
   * RUN_ERROR the client can see, abort and discard the earlier run, or wait for it.
   */
  onConcurrentRun?: OnConcurrentRun | undefined;
  /** Milliseconds after which an agent that ignores its abort is cut off. Default 10 000. */
  stopTimeoutMs?: number | undefined;
  /**
   * Milliseconds that `close` takes: half of them for active runs to end by themselves, a quarter for
   * those that were told to stop, the rest for storing, which has 2 s at least. Default 6000, so that
   * a process ends before Docker kills it (10 s) whatever its agents and its disk do.
   */
  closeTimeoutMs?: number | undefined;
  /**
   * Whether the stored input holds the messages new to the thread, and no `forwardedProps` (default), or
   * is `"full"`. Clients send bearer tokens in `forwardedProps`. They are never replayed.
   */
  storeInput?: StoreInput | undefined;
  /**
   * How many of a thread's last runs `connect` replays whole. Those before are folded into one
   * MESSAGES_SNAPSHOT and one STATE_SNAPSHOT: the client sees the same messages and state, and gets
   * fewer events. A client may ask for fewer by the header `x-replay-runs`. Default: all runs.
   */
  replayRuns?: number | undefined;
  /**
   * Whether a run is stored. One that is not leaves nothing behind and is shown to nobody else. Default:
   * every run but the suggestions that CopilotKit's chat asks for, each of which has a thread of its own.
   */
  storeRun?: StoreRun | undefined;
  /**
   * What the messages of an input mean. `"additive"` (default): new messages are added, those that were
   * changed or moved are changed or moved, and a list that is a beginning of the thread with nothing new
   * at its end ends the thread there. `"authoritative"`: the thread is what the list says, always.
   */
  inputMessages?: InputMessages | undefined;
  /** Where to report what no caller can be told; pino-shaped. Default: warnings and errors on stderr. */
  logger?: Logger | undefined;
}

export interface SqliteAgentRunnerOptions extends RunnerOptions {
  /** Path of the database file, made when it does not exist. Default `":memory:"`. */
  dbPath?: string | undefined;
  /**
   * `"full"` (default): a completed run is fsynced and survives power loss. `"normal"`: it
   * survives the death of the process, and power loss may cost the last few runs.
   */
  durability?: "full" | "normal" | undefined;
  /** Milliseconds an event may wait before it is journaled. Default 50. */
  lingerMs?: number | undefined;
  /** Bytes of JSON at which a batch, or a run's waiting events, are sent. Default 1 MiB. */
  maxBatchBytes?: number | undefined;
  /**
   * Bytes of unwritten JSON past which new runs are refused with `QUEUE_FULL`, and, if the store makes
   * no progress, runs that go on emitting are ended with it. Default 64 MiB.
   */
  maxPendingBytes?: number | undefined;
  /** Threads that read history. Default 1. */
  readers?: number | undefined;
  /** Milliseconds without a heartbeat after which a process counts as dead. Default 15 000. */
  leaseMs?: number | undefined;
  /** Whether RAW events and `rawEvent` fields are stored. Default true. */
  storeRawEvents?: boolean | undefined;
}

export type ResolvedOptions = {
  readonly [Name in keyof SqliteAgentRunnerOptions]-?: Exclude<
    SqliteAgentRunnerOptions[Name],
    undefined
  >;
};

/** Warnings and errors on stderr, and nothing else. */
const STDERR_LOGGER: Logger = {
  debug() {},
  info() {},
  warn(fields, message) {
    console.warn(`[durable-agent-runner] ${message}`, fields);
  },
  error(fields, message) {
    console.error(`[durable-agent-runner] ${message}`, fields);
  },
};

const DEFAULTS: ResolvedOptions = {
  dbPath: ":memory:",
  onConcurrentRun: "throw",
  durability: "full",
  lingerMs: 50,
  maxBatchBytes: 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  readers: 1,
  leaseMs: 15_000,
  stopTimeoutMs: 10_000,
  closeTimeoutMs: 6000,
  storeInput: "new-messages",
  inputMessages: "additive",
  storeRun: isConversation,
  replayRuns: Number.MAX_SAFE_INTEGER,
  storeRawEvents: true,
  logger: STDERR_LOGGER,
};

/** The longest delay that a timer of Node takes. https://nodejs.org/api/timers.html */
const MAX_TIMER_MS = 2 ** 31 - 1;

interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** What to write instead of a value that is not accepted, if more can be said. */
  readonly advice?: (value: unknown) => string | null;
}

function oneOf(...values: readonly string[]): Rule {
  const expected = values.map((value) => JSON.stringify(value)).join(" or ");
  return { expected, accepts: (value) => values.some((allowed) => allowed === value) };
}

function integer(min: number, max: number, unit: string): Rule {
  return {
    expected: `a whole number of ${unit} from ${min} to ${max}`,
    accepts: (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
  };
}

const LOG_METHODS = ["debug", "info", "warn", "error"] as const;

function isLogger(value: unknown): boolean {
  if (typeof value !== "object" && typeof value !== "function") return false;
  if (value === null) return false;
  const methods = value as Record<string, unknown>;
  return LOG_METHODS.every((method) => typeof methods[method] === "function");
}

const RULES: { readonly [Name in keyof ResolvedOptions]: Rule } = {
  dbPath: {
    expected: 'a non-empty path without NUL, or ":memory:"',
    accepts: (value) =>
      typeof value === "string" &&
      value.trim() !== "" &&
      !value.includes("\0") &&
      adviceOnPath(value) === null,
    advice: adviceOnPath,
  },
  onConcurrentRun: oneOf("throw", "reject", "supersede", "enqueue"),
  durability: oneOf("full", "normal"),
  lingerMs: integer(0, 60_000, "milliseconds"),
  maxBatchBytes: integer(1, 1024 ** 3, "bytes"),
  maxPendingBytes: integer(1, Number.MAX_SAFE_INTEGER, "bytes"),
  readers: integer(1, 64, "threads"),
  leaseMs: integer(100, MAX_TIMER_MS, "milliseconds"),
  stopTimeoutMs: integer(0, MAX_TIMER_MS, "milliseconds"),
  closeTimeoutMs: integer(0, MAX_TIMER_MS, "milliseconds"),
  storeInput: oneOf("new-messages", "full"),
  inputMessages: oneOf("additive", "authoritative"),
  replayRuns: integer(1, Number.MAX_SAFE_INTEGER, "runs"),
  storeRun: {
    expected: "a function of the run's input",
    accepts: (value) => typeof value === "function",
  },
  storeRawEvents: {
    expected: "true or false",
    accepts: (value) => typeof value === "boolean",
  },
  logger: {
    expected: `an object with the methods ${LOG_METHODS.join(", ")}`,
    accepts: isLogger,
  },
};

/** How a value reads in an error message. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

function isOptionName(name: string): name is keyof ResolvedOptions {
  return Object.hasOwn(RULES, name);
}

/** Options with their defaults. Throws a TypeError that says what was expected and what was got. */
export function resolveOptions(options: unknown): ResolvedOptions {
  if (options === undefined) return DEFAULTS;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(
      `SqliteAgentRunner: expected an object of options, got ${describeValue(options)}`,
    );
  }
  for (const [name, value] of Object.entries(options)) {
    if (!isOptionName(name)) {
      const known = Object.keys(RULES).join(", ");
      throw new TypeError(
        `SqliteAgentRunner: expected one of the options ${known}, got ${describeValue(name)}`,
      );
    }
    const { accepts, expected, advice }: Rule = RULES[name];
    if (value !== undefined && !accepts(value)) {
      const instead = advice?.(value) ?? null;
      throw new TypeError(
        `SqliteAgentRunner: expected ${name} to be ${expected}, got ${describeValue(value)}${instead === null ? "" : `; ${instead}`}`,
      );
    }
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}
