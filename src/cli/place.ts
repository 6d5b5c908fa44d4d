import { statSync } from "node:fs";
import { notFound, wrongUsage } from "./failure.ts";

/** Where the threads are. */
export type Place =
  | { readonly kind: "sqlite"; readonly dbPath: string; readonly name: string }
  | { readonly kind: "postgres"; readonly connectionString: string; readonly name: string };

export const DEFAULT_PATH = "./data/threads.db";

/** The place that `--db` names, or else the environment, as for `npm start`. */
export function placeOf(given: string | undefined, env: NodeJS.ProcessEnv = process.env): Place {
  const db = given ?? (env.DATABASE_URL || env.DB_PATH || DEFAULT_PATH);
  if (/^postgres(ql)?:\/\//.test(db)) {
    return { kind: "postgres", connectionString: db, name: nameOfUrl(db) };
  }
  // Other programs put URLs of other databases into DATABASE_URL, with passwords: it is not repeated.
  if (db === ":memory:" || db.trim() === "" || /^[a-z][a-z0-9+.-]*:\/\//i.test(db)) {
    throw wrongUsage(
      '--db (or DATABASE_URL, or DB_PATH) has to name a file or a "postgres://…" URL',
    );
  }
  return { kind: "sqlite", dbPath: db, name: db };
}

/** Without the password. */
function nameOfUrl(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `postgres://${host}${pathname}`;
  } catch {
    throw wrongUsage("--db begins with postgres://, but is no URL");
  }
}

/** A command that reads must not make the file that it reads. */
export function expectFile(dbPath: string): void {
  let isThere: boolean;
  try {
    isThere = statSync(dbPath, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A part of the path is a file.
    if (code !== "ENOTDIR") throw error;
    isThere = false;
  }
  if (isThere) return;
  throw notFound(
    `there is no file ${dbPath}: name the database by --db, or by DB_PATH or DATABASE_URL`,
  );
}
