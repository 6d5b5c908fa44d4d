/** Receives what a runner cannot report to a caller. Any pino logger fits. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The methods of a logger. */
export const LEVELS = ["debug", "info", "warn", "error"] as const;

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
