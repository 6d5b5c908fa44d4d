import type { Logger } from "../../protocol/logger.ts";

/**
 * The key on `globalThis` of the counts. A hot reload loads this module again, and the new module has to
 * notice the runners of the earlier loads.
 */
const KEY = Symbol.for("durable-agent-runner.openFiles");

/** How many open runners of this process each database file has. */
function openFiles(): Map<string, number> {
  const holder = globalThis as { [KEY]?: Map<string, number> };
  holder[KEY] ??= new Map();
  return holder[KEY];
}

/** Counts one more runner of `file`. Logs a warning for the second runner, and none for a third. */
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

/** Counts one runner of `file` less. */
export function leaveFile(file: string): void {
  const runners = (openFiles().get(file) ?? 0) - 1;
  if (runners > 0) openFiles().set(file, runners);
  else openFiles().delete(file);
}
