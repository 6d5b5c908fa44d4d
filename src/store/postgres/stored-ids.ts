import { RunStoreError } from "../../protocol/errors.ts";

/** An entry of an index has at most 2700 bytes, and in lists a thread stands beside its resource and agent. */
const MAX_THREAD_ID_BYTES = 1000;

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

export function fitsIndex(threadId: string): boolean {
  return Buffer.byteLength(toStored(threadId)) <= MAX_THREAD_ID_BYTES;
}

/** @throws {RunStoreError} `THREAD_ID_TOO_LONG`: a thread of this id cannot be made. */
export function expectFittingId(threadId: string): void {
  if (fitsIndex(threadId)) return;
  throw new RunStoreError(
    "THREAD_ID_TOO_LONG",
    `expected a thread id of at most ${MAX_THREAD_ID_BYTES} bytes, got ${Buffer.byteLength(threadId)}`,
  );
}
