/*
 * PostgreSQL's `text` cannot hold the character NUL, and ids may contain it. Such an id is stored escaped. So
 * is an id with a backslash, so that no two ids look alike. All others are stored as they are.
 */

const ESCAPED = /[\\\0]/;

export function toStored(id: string): string {
  if (!ESCAPED.test(id)) return id.toWellFormed();
  return id.toWellFormed().replaceAll("\\", "\\\\").replaceAll("\0", "\\0");
}

export function fromStored(stored: string): string {
  if (!stored.includes("\\")) return stored;
  return stored.replaceAll(/\\([\\0])/g, (_, escaped: string) => (escaped === "0" ? "\0" : "\\"));
}

export const toStoredOrNull = (id: string | null) => (id === null ? null : toStored(id));

export const fromStoredOrNull = (stored: string | null) =>
  stored === null ? null : fromStored(stored);
