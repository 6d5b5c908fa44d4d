import { messageOf } from "../protocol/errors.ts";
import { LEVELS, type Logger } from "../protocol/logger.ts";
import { errorChannel } from "./channels.ts";

/**
 * Wraps `logger` so that it never fails: what it throws or rejects with becomes a warning of the
 * process. Warnings and errors are published as well.
 */
export function guardLogger(logger: Logger): Logger {
  const guarded = LEVELS.map((level) => {
    const log = (fields: object, message: string) => {
      void write(logger, level, fields, message);
      if (level === "warn" || level === "error") publish(level, fields, message);
    };
    return [level, log] as const;
  });
  return Object.fromEntries(guarded) as unknown as Logger;
}

function publish(level: "warn" | "error", fields: object, message: string): void {
  if (!errorChannel.hasSubscribers) return;
  const { code, err } = fields as { code?: unknown; err?: { code?: unknown } };
  const known = code ?? codeOf(err);
  errorChannel.publish({ level, message, code: typeof known === "string" ? known : null, fields });
}

/** Agents throw any value, and reading it may throw again. */
function codeOf(thrown: unknown): unknown {
  try {
    return (thrown as { code?: unknown } | null | undefined)?.code;
  } catch {
    return undefined;
  }
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
