/** At least two letters, because `C:\data` is a Windows path. */
const SCHEME = /^[a-z][a-z0-9+.-]+:/i;
const AUTHORITY = /^\/\/[^/]*/;
/** The schemes whose path is a path on this machine. */
const FILE_SCHEMES: ReadonlySet<string> = new Set(["file:", "sqlite:", "sqlite3:"]);
const MEMORY = ":memory:";

/**
 * What to write instead of a `dbPath` that is no path: an SQLite URI, the URL of another library, or a
 * shell's "~". Null for a path. Such a value, taken as a path, would make a file of that name.
 */
export function adviceOnPath(given: unknown): string | null {
  if (given instanceof URL) return "write fileURLToPath(…) of node:url around it";
  if (typeof given !== "string") return null;
  const path = given.trim();
  if (path === MEMORY && given === path) return null;
  if (path.toLowerCase().startsWith(MEMORY)) return `write "${MEMORY}"`;
  if (/^~(?:$|[^/\\]*[/\\])/.test(path)) {
    return 'only a shell knows "~": write the whole path, with join(homedir(), …) of node:os';
  }
  if (/[/\\]$/.test(path)) return "name a file, not a directory";
  const [scheme] = SCHEME.exec(path) ?? [];
  if (scheme === undefined) return null;
  if (!FILE_SCHEMES.has(scheme.toLowerCase())) {
    return `SQLite keeps its data in a file of this machine: write its path, or ${JSON.stringify(`./${path}`)} for a file of such a name`;
  }
  const [alone = ""] = path.replace(SCHEME, "").replace(AUTHORITY, "").split("?");
  const named = JSON.stringify(`./${path}`);
  return `a URL is not taken: write the path alone, ${JSON.stringify(alone)}, or ${named} for a file of such a name`;
}
