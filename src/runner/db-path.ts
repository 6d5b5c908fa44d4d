/** Two letters at least: `C:\data` is a path of Windows. */
const SCHEME = /^[a-z][a-z0-9+.-]+:/i;
const AUTHORITY = /^\/\/[^/]*/;
const MEMORY = ":memory:";

/**
 * What to write instead of a `dbPath` that was meant for SQLite's URIs, another library or a shell;
 * null for a path. Taken as a path, it would make a file of that name in the working directory.
 */
export function adviceOnPath(given: string): string | null {
  const path = given.trim();
  if (path === MEMORY && given === path) return null;
  if (path.toLowerCase().startsWith(MEMORY)) return `write "${MEMORY}"`;
  if (/^~(?:$|[^/\\]*[/\\])/.test(path)) {
    return 'only a shell knows "~": write the whole path, with join(homedir(), …) of node:os';
  }
  if (!SCHEME.test(path)) return null;
  const [alone = ""] = path.replace(SCHEME, "").replace(AUTHORITY, "").split("?");
  const named = JSON.stringify(`./${path}`);
  return `a URL is not taken: write the path alone, ${JSON.stringify(alone)}, or ${named} for a file of such a name`;
}
