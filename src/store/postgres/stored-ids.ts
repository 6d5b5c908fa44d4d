import { RunStoreError } from "../../protocol/errors.ts";
import { sqlStateOf } from "./driver.ts";

/*
 * PostgreSQL's `text` holds neither the character NUL nor half of a surrogate pair, and ids may contain both.
 * Such an id is stored escaped. So is an id with a backslash, so that no two ids look alike. All others are
 * stored as they are.
 */

const ESCAPED = /[\\\0]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const isPlain = (id: string) => id.isWellFormed() && !id.includes("\0") && !id.includes("\\");

export function toStored(id: string): string {
  if (isPlain(id)) return id;
  return id.replaceAll(ESCAPED, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function fromStored(stored: string): string {
  if (!stored.includes("\\")) return stored;
  return stored.replaceAll(/\\u([0-9a-f]{4})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

export const toStoredOrNull = (id: string | null) => (id === null ? null : toStored(id));

export const fromStoredOrNull = (stored: string | null) =>
  stored === null ? null : fromStored(stored);

/** SQLSTATE of an entry that an index cannot hold: it has at most 2700 bytes, compressed. */
const PROGRAM_LIMIT_EXCEEDED = "54000";

/** Whether a thread cannot be made because its id is too long. */
export function isTooLong(error: unknown): boolean {
  const cause = error instanceof RunStoreError ? error.cause : error;
  return sqlStateOf(cause) === PROGRAM_LIMIT_EXCEEDED;
}

export function tooLong(threadId: string): RunStoreError {
  const bytes = Buffer.byteLength(threadId);
  return new RunStoreError(
    "THREAD_ID_TOO_LONG",
    `the thread id is too long for PostgreSQL: it has ${bytes} bytes, and up to 1000 always fit`,
  );
}
