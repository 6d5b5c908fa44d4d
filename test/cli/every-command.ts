import { existsSync } from "node:fs";
import { join } from "node:path";
import { cli } from "../support/cli.ts";
import { tempDirectory } from "../support/temp-file.ts";

/**
 * Each command, in an order in which each finds what it needs: a thread "t" on which a run executes, and a thread
 * "u" of the resource "ann". `directory` is for its files.
 */
export const COMMANDS = (directory: string): readonly (readonly string[])[] => [
  ["threads"],
  ["show", "u"],
  ["tail", "u", "--until-end"],
  ["stats"],
  ["check"],
  ["migrate"],
  ["backup", join(directory, "backup.db")],
  ["fork", "u", "--as", "f"],
  ["export", "--thread", "u", "--out", join(directory, "u.ndjson")],
  ["export", "--fixture", "u", "--out", join(directory, "fixture.ndjson")],
  ["export", "--version-1", join(directory, "version-1.db")],
  ["import", join(directory, "u.ndjson")],
  ["purge", "--max-runs", "1", "--yes"],
  ["erase", "--thread", "u", "--yes"],
  ["stop", "t"],
];

/** How a command is named in a table: its name, and an option that makes another command of it. */
const nameOf = ([name = "", option = ""]: readonly string[]) =>
  option === "--fixture" || option === "--version-1" ? `${name} ${option}` : name;

/** Executes each command on `db`. Resolves with exit codes, and what was said on stderr by those that failed. */
export async function everyCommand(db: string) {
  const directory = tempDirectory();
  const codes: Record<string, number | null> = {};
  const failures: Record<string, string> = {};
  for (const command of COMMANDS(directory)) {
    const { code, stderr } = await cli(command, { env: { DB_PATH: "", DATABASE_URL: db } });
    codes[nameOf(command)] = code;
    if (code !== 0) failures[nameOf(command)] = stderr;
  }
  const files = ["backup.db", "u.ndjson", "fixture.ndjson", "version-1.db"].filter((file) =>
    existsSync(join(directory, file)),
  );
  return { codes, failures, files };
}
