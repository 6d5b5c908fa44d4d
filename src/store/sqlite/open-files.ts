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

/** Counts one more runner of `file`, and tells how many there are with it. */
export function enterFile(file: string): number {
  const runners = (openFiles().get(file) ?? 0) + 1;
  openFiles().set(file, runners);
  return runners;
}

/** Takes back one `enterFile`. */
export function leaveFile(file: string): void {
  const runners = (openFiles().get(file) ?? 0) - 1;
  if (runners > 0) openFiles().set(file, runners);
  else openFiles().delete(file);
}
