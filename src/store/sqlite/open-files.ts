import type { Logger } from "../../protocol/logger.ts";

/*
 * How many open runners of this process each database file has. On `globalThis`, since a hot reload
 * loads this module once more, and what it is to notice are the runners of the loads before.
 */
const KEY = Symbol.for("durable-agent-runner.openFiles");

function openFiles(): Map<string, number> {
  const holder = globalThis as { [KEY]?: Map<string, number> };
  holder[KEY] ??= new Map();
  return holder[KEY];
}

/** Counts one more runner of `file`. Says so when it is the second one, and not again for a third. */
export function enterFile(file: string, dbPath: string, logger: Logger): void {
  const runners = (openFiles().get(file) ?? 0) + 1;
  openFiles().set(file, runners);
  if (runners !== 2) return;
  logger.warn(
    { dbPath },
    "this process has another open runner on this database; if a hot reload left it open, keep " +
      "the runner across reloads: globalThis.runner ??= new SqliteAgentRunner(options)",
  );
}

/** Takes back one `enterFile`. */
export function leaveFile(file: string): void {
  const runners = (openFiles().get(file) ?? 0) - 1;
  if (runners > 0) openFiles().set(file, runners);
  else openFiles().delete(file);
}
