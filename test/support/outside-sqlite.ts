import { execFileSync } from "node:child_process";

/** Another program with its own SQLite. */
export interface OutsideSqlite {
  readonly name: string;
  /** Opens the file, returns the only value of the query, and closes the file. */
  readonly ask: (dbPath: string, sql: string) => string;
  /**
   * Null if it deletes the WAL of a file without locks, like the last user of the file. Otherwise the
   * reason why not.
   */
  readonly unfit: string | null;
}

const PYTHON_ASKS =
  "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";

/** From this version on, SQLite notices by itself that the file is in use. */
const SAFE_SINCE = { major: 3, minor: 50 };

function say(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: "pipe" }).trim();
}

function outsideSqlite(
  name: string,
  askVersion: () => string,
  ask: OutsideSqlite["ask"],
): OutsideSqlite {
  let version: string;
  try {
    version = askVersion();
  } catch {
    return { name, ask, unfit: `there is no ${name} with SQLite here` };
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const { major: safeMajor, minor: safeMinor } = SAFE_SINCE;
  const isSafe = major > safeMajor || (major === safeMajor && minor >= safeMinor);
  const unfit = isSafe
    ? `the SQLite of ${name} is too new to delete the WAL of a file in use`
    : null;
  return { name, ask, unfit };
}

/** The programs with SQLite that many machines have. */
export function outsideSqlites(): readonly OutsideSqlite[] {
  return [
    outsideSqlite(
      "sqlite3",
      () => say("sqlite3", "--version"),
      (dbPath, sql) => say("sqlite3", "-cmd", ".timeout 5000", dbPath, sql),
    ),
    outsideSqlite(
      "python3",
      () => say("python3", "-c", "import sqlite3; print(sqlite3.sqlite_version)"),
      (dbPath, sql) => say("python3", "-c", PYTHON_ASKS, dbPath, sql),
    ),
  ];
}
