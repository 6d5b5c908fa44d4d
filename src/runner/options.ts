import { describeValue } from "../protocol/describe-value.ts";
import { isLogger, type Logger, STDERR_LOGGER } from "../protocol/logger.ts";
import { noSuchOption } from "../protocol/no-such-option.ts";
import { faultInRetention, MAX_TIMER_MS, type Retention } from "../retention/limits.ts";
import { adviceOnPath } from "./db-path.ts";
import type { OnInterrupted } from "./interruptions.ts";
import type { InputMessages } from "./read-input.ts";
import type { Resources } from "./resource.ts";
import { isConversation, type StoreRun } from "./store-run.ts";
import type { TitleFor } from "./thread-titles.ts";

/** What to do with a run on a thread that already has a run: see `RunnerOptions.onConcurrentRun`. */
export type OnConcurrentRun = "throw" | "reject" | "supersede" | "enqueue";

/** Which messages of a run's input are stored: see `RunnerOptions.storeInput`. */
export type StoreInput = "new-messages" | "full";

/** The options of every runner, with any store. */
export interface RunnerOptions {
  /**
   * What to do with a run on a thread that already has a run. `"throw"` (default): `run` throws.
   * `"reject"`: the client gets a RUN_ERROR. `"supersede"`: the earlier run is aborted and discarded.
   * `"enqueue"`: the new run waits for the earlier run.
   */
  onConcurrentRun?: OnConcurrentRun | undefined;
  /** Milliseconds after which an agent that ignores its abort is cut off. Default 10 000. */
  stopTimeoutMs?: number | undefined;
  /**
   * Milliseconds that `close` takes. For half of them, active runs may end by themselves. Then they are
   * told to stop, and after another quarter they are cut off. The rest is for storing, which has at
   * least 2 s. Default 6000: a process then ends before Docker kills it after 10 s, whatever its agents
   * and disk do.
   */
  closeTimeoutMs?: number | undefined;
  /**
   * What is stored of an input. `"new-messages"` (default): the messages that are new to the thread, and no
   * `forwardedProps`, in which clients send bearer tokens. `"full"`: the whole input. `forwardedProps` are
   * never replayed.
   */
  storeInput?: StoreInput | undefined;
  /**
   * How many of a thread's last runs `connect` replays whole. Earlier runs are folded into one
   * MESSAGES_SNAPSHOT and one STATE_SNAPSHOT: the client gets the same messages and state from fewer
   * events. A client may ask for fewer runs by the header `x-replay-runs`. Default: all runs.
   */
  replayRuns?: number | undefined;
  /**
   * Returns whether a run is stored. A run that is not stored is shown only to its caller. Default: every
   * run is stored, except the suggestions of CopilotKit's chat, each of which has a thread of its own.
   */
  storeRun?: StoreRun | undefined;
  /**
   * How the list of messages in an input changes the thread. `"additive"` (default): new messages are
   * added, and changed or moved messages are changed or moved. If the list is a beginning of the thread
   * without a new message at its end, the thread is cut there. `"authoritative"`: the thread always becomes
   * the list.
   */
  inputMessages?: InputMessages | undefined;
  /**
   * `"optional"` (default): a call outside any `withResource` sees the threads of nobody. `"required"`: it
   * is refused with `RESOURCE_REQUIRED`.
   */
  resources?: Resources | undefined;
  /**
   * Which threads and runs are removed by themselves: the limits of `runner.purge`, and `everyMs`. Default
   * false: nothing is removed.
   */
  retention?: Retention | false | undefined;
  /**
   * Makes the title of a thread, once, after its first run was stored. It is called in the background, for
   * a thread without a title that was set. Default false: the title is the beginning of the first user
   * message.
   */
  titleFor?: TitleFor | false | undefined;
  /**
   * Called for each run that a crash ended: once, in one instance of those that have this option. It may
   * run the agent again by `rerun`. When it ends without `rerun`, or with an error, which is logged, the run
   * stays as the crash left it. Default false: so do all such runs.
   *
   * An agent may be executed more than once for one request. Called outside the context of any request,
   * within `withResource` of the run's resource.
   */
  onInterrupted?: OnInterrupted | false | undefined;
  /**
   * How often `onInterrupted` is called for one run whose process crashes again and again. Then the run is
   * given up. Default 3.
   */
  maxReruns?: number | undefined;
  /** Gets what no caller can be told. Any pino logger fits. Default: warnings and errors on stderr. */
  logger?: Logger | undefined;
}

export interface SqliteAgentRunnerOptions extends RunnerOptions {
  /** Path of the database file. The file is made if it does not exist. Default `":memory:"`. */
  dbPath?: string | undefined;
  /**
   * `"full"` (default): a completed run is synced to the disk and survives power loss. `"normal"`: a
   * completed run survives the death of the process, but power loss may lose the last few runs.
   */
  durability?: "full" | "normal" | undefined;
  /** Milliseconds that an event may wait before it is journaled. Default 50. */
  lingerMs?: number | undefined;
  /**
   * Bytes of JSON at which a batch is full, and at which a run's waiting events are sent. Default 1
   * MiB.
   */
  maxBatchBytes?: number | undefined;
  /**
   * With more bytes of unwritten JSON than this, new runs are refused with `QUEUE_FULL`. If the store
   * also makes no progress, runs that go on emitting are ended with the same code. Default 64 MiB.
   */
  maxPendingBytes?: number | undefined;
  /** Worker threads that read history. Default 1. */
  readers?: number | undefined;
  /** Milliseconds without a heartbeat after which a process counts as dead. Default 15 000. */
  leaseMs?: number | undefined;
  /**
   * The text of an assistant message that ends a run whose process died, before its RUN_ERROR; false
   * (default) for none. Chats show messages, and do not show a RUN_ERROR of a history. The message is
   * stored with the run, so clients send it to the agent with the history, as they do other messages.
   */
  interruptedNote?: string | false | undefined;
  /** Whether RAW events and `rawEvent` fields are stored. Default true. */
  storeRawEvents?: boolean | undefined;
}

/** Options with their defaults. */
export type Resolved<Options> = {
  readonly [Name in keyof Options]-?: Exclude<Options[Name], undefined>;
};

export type ResolvedOptions = Resolved<SqliteAgentRunnerOptions>;

export const DEFAULT_MAX_RERUNS = 3;

export const DEFAULTS: ResolvedOptions = {
  dbPath: ":memory:",
  onConcurrentRun: "throw",
  durability: "full",
  lingerMs: 50,
  maxBatchBytes: 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  readers: 1,
  leaseMs: 15_000,
  interruptedNote: false,
  stopTimeoutMs: 10_000,
  closeTimeoutMs: 6000,
  storeInput: "new-messages",
  inputMessages: "additive",
  storeRun: isConversation,
  replayRuns: Number.MAX_SAFE_INTEGER,
  resources: "optional",
  onInterrupted: false,
  maxReruns: DEFAULT_MAX_RERUNS,
  storeRawEvents: true,
  retention: false,
  titleFor: false,
  logger: STDERR_LOGGER,
};

export interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** What to write instead of a rejected value. Null if there is no advice. */
  readonly advice?: (value: unknown) => string | null;
  /** Whether the value is a secret, which no error message shows. */
  readonly isSecret?: boolean;
}

export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

function oneOf(...values: readonly string[]): Rule {
  const expected = values.map((value) => JSON.stringify(value)).join(" or ");
  return { expected, accepts: (value) => values.some((allowed) => allowed === value) };
}

export function integer(min: number, max: number, unit: string): Rule {
  return {
    expected: `a whole number of ${unit} from ${min} to ${max}`,
    accepts: (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
  };
}

export const RULES: Rules<SqliteAgentRunnerOptions> = {
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
  interruptedNote: {
    expected: "a text that is not blank, or false",
    accepts: (value) =>
      value === false || (typeof value === "string" && value.trim() !== "" && value.isWellFormed()),
  },
  stopTimeoutMs: integer(0, MAX_TIMER_MS, "milliseconds"),
  closeTimeoutMs: integer(0, MAX_TIMER_MS, "milliseconds"),
  storeInput: oneOf("new-messages", "full"),
  resources: oneOf("optional", "required"),
  inputMessages: oneOf("additive", "authoritative"),
  replayRuns: integer(1, Number.MAX_SAFE_INTEGER, "runs"),
  retention: {
    expected: "an object of limits, or false",
    accepts: (value) => value === false || faultInRetention(value) === null,
    advice: faultInRetention,
  },
  titleFor: {
    expected: "a function that returns a title, or false",
    accepts: (value) => value === false || typeof value === "function",
  },
  storeRun: {
    expected: "a function of the run's input",
    accepts: (value) => typeof value === "function",
  },
  onInterrupted: {
    expected: "a function of the interrupted run, or false",
    accepts: (value) => value === false || typeof value === "function",
  },
  maxReruns: integer(1, 1000, "reruns"),
  storeRawEvents: {
    expected: "true or false",
    accepts: (value) => typeof value === "boolean",
  },
  logger: {
    expected: "an object with the methods debug, info, warn, error",
    accepts: isLogger,
  },
};

function isOptionName(name: string): name is keyof SqliteAgentRunnerOptions {
  return Object.hasOwn(RULES, name);
}

/**
 * Checks the options of a runner over any store, and adds the defaults.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 */
export function checkRunnerOptions<Options extends RunnerOptions>(options: Options): Options {
  for (const [name, value] of Object.entries(options)) {
    if (isOptionName(name)) checkOption("StoreAgentRunner", name, value, RULES[name]);
  }
  const { onConcurrentRun, stopTimeoutMs, closeTimeoutMs, storeInput, logger } = DEFAULTS;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const defaults = { onConcurrentRun, stopTimeoutMs, closeTimeoutMs, storeInput, logger };
  return { ...defaults, ...Object.fromEntries(given) } as Options;
}

function checkOption(runner: string, name: string, value: unknown, rule: Rule): void {
  const { accepts, expected, advice, isSecret = false } = rule;
  if (value === undefined || accepts(value)) return;
  const instead = advice?.(value) ?? null;
  const got = isSecret ? "another value" : describeValue(value);
  throw new TypeError(
    `${runner}: expected ${name} to be ${expected}, got ${got}${instead === null ? "" : `; ${instead}`}`,
  );
}

/**
 * Checks the options of `SqliteAgentRunner` and adds their defaults.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 */
export function resolveOptions(options: unknown): ResolvedOptions {
  return resolveWith<SqliteAgentRunnerOptions>("SqliteAgentRunner", options, RULES, DEFAULTS);
}

/**
 * Checks the options of a runner and adds their defaults.
 *
 * @throws {TypeError} an option is wrong: the message says what was expected and what was got.
 */
export function resolveWith<Options>(
  runner: string,
  options: unknown,
  rules: Rules<Options>,
  defaults: Resolved<Options>,
): Resolved<Options> {
  if (options === undefined) return defaults;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${runner}: expected an object of options, got ${describeValue(options)}`);
  }
  const byName: Readonly<Record<string, Rule>> = rules;
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(byName, name) ? byName[name] : undefined;
    if (rule === undefined) throw noSuchOption(runner, name, Object.keys(rules));
    checkOption(runner, name, value, rule);
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}
