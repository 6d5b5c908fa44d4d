import { messageOf } from "./errors.ts";

/** Receives what a runner cannot report to a caller. Any pino logger fits. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const LEVELS = ["debug", "info", "warn", "error"] as const;

/** Writes warnings and errors to stderr, and drops everything else. */
export const STDERR_LOGGER: Logger = {
  debug() {},
  info() {},
  warn(fields, message) {
    console.warn(`[durable-agent-runner] ${message}`, fields);
  },
  error(fields, message) {
    console.error(`[durable-agent-runner] ${message}`, fields);
  },
};

/** Whether a value has all methods of a logger. */
export function isLogger(value: unknown): value is Logger {
  if (typeof value !== "object" && typeof value !== "function") return false;
  if (value === null) return false;
  const methods = value as Record<string, unknown>;
  return LEVELS.every((method) => typeof methods[method] === "function");
}

/**
 * Wraps `logger` so that it never fails: what it throws or rejects with becomes a warning of the
 * process.
 */
export function guardLogger(logger: Logger): Logger {
  const guarded = LEVELS.map((level) => {
    const log = (fields: object, message: string) => void write(logger, level, fields, message);
    return [level, log] as const;
  });
  return Object.fromEntries(guarded) as unknown as Logger;
}

/** Async, so that the rejection of an async logger is caught too. */
async function write(
  logger: Logger,
  level: (typeof LEVELS)[number],
  fields: object,
  message: string,
): Promise<void> {
  try {
    const written: unknown = logger[level](fields, message);
    await written;
  } catch (error) {
    process.emitWarning(`the logger failed at "${message}": ${messageOf(error)}`, {
      code: "DURABLE_AGENT_RUNNER_LOGGER",
    });
  }
}
