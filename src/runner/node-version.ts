import { RunStoreError } from "../protocol/errors.ts";

/** The oldest Node that better-sqlite3 13 and type stripping in worker threads work on. */
const MIN_NODE: readonly [major: number, minor: number] = [22, 18];

/**
 * Throws on a Node that is too old: there, better-sqlite3 13 ends the process with a segmentation
 * fault.
 *
 * @throws {RunStoreError} `NODE_TOO_OLD`.
 */
export function assertNodeVersion(): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return;
  throw new RunStoreError(
    "NODE_TOO_OLD",
    `expected Node ${MIN_NODE.join(".")} or newer, got ${process.versions.node}`,
  );
}
