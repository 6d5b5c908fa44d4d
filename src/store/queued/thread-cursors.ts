import { EMPTY_HASH, hashText } from "../../events/hash.ts";
import { RunStoreError } from "../../protocol/errors.ts";
import type { ListThreadsRequest, ThreadPlace } from "../../protocol/thread-messages.ts";

type Query = Pick<ListThreadsRequest, "query" | "metadata" | "scope">;

/** The cursor of the page behind a thread. */
export function threadCursor({ at, threadId }: ThreadPlace, query: Query): string {
  return pack([queryHash(query), at, threadId]);
}

/** @throws {RunStoreError} `INVALID_CURSOR` */
export function threadPlaceOf(cursor: string, query: Query): ThreadPlace {
  const [hash, at, threadId, ...rest] = unpack(cursor);
  const isPlace = Number.isFinite(at) && typeof threadId === "string" && rest.length === 0;
  if (hash !== queryHash(query) || !isPlace) throw invalid();
  return { at: at as number, threadId };
}

/** The cursor of the page of runs behind a row. */
export function runCursor(row: number, threadId: string): string {
  return pack([hashText(EMPTY_HASH, threadId), row]);
}

/** @throws {RunStoreError} `INVALID_CURSOR` */
export function runRowOf(cursor: string, threadId: string): number {
  const [hash, row, ...rest] = unpack(cursor);
  const isRow = Number.isSafeInteger(row) && rest.length === 0;
  if (hash !== hashText(EMPTY_HASH, threadId) || !isRow) throw invalid();
  return row as number;
}

/** A cursor is refused by any other query than its own. */
function queryHash({ query, metadata, scope }: Query): number {
  const { agentId = null, search = null, archived = null, order = "updated" } = query;
  const fields = metadata.toSorted(([one], [other]) => (one < other ? -1 : 1));
  const resource = scope === "every" ? [] : [scope.resourceId];
  const parts = [resource, agentId, search, archived, fields, order];
  return hashText(EMPTY_HASH, JSON.stringify(parts));
}

function pack(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

function unpack(cursor: string): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    // Decoding passes over what is no base64.
    if (Array.isArray(parts) && pack(parts) === cursor) return parts;
  } catch {
    // No JSON: it is no cursor of ours.
  }
  throw invalid();
}

function invalid(): RunStoreError {
  return new RunStoreError(
    "INVALID_CURSOR",
    "the cursor belongs to another query, or is no cursor: list again without a cursor",
  );
}
