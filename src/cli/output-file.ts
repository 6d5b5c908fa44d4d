import { createWriteStream, realpathSync, type Stats, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { wrongUsage } from "./failure.ts";
import type { Place } from "./place.ts";

/** What SQLite appends to the name of a database. */
const DATABASE_FILES = ["", "-wal", "-shm", "-journal"];

const statOf = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false });

/**
 * The output must not replace what it is read from.
 *
 * @throws {CommandFailure} `path` is a directory, or a file of the database, by whatever name.
 */
export function expectOtherFile(path: string, place: Place): void {
  const known = statOf(path);
  if (known?.isDirectory() === true) throw wrongUsage(`${path} is a directory: name a file`);
  if (known === undefined || place.kind === "postgres") return;
  for (const suffix of DATABASE_FILES) {
    const file = statOf(`${place.dbPath}${suffix}`);
    if (file?.ino === known.ino && file.dev === known.dev) {
      throw wrongUsage(`${path} is a file of the database ${place.dbPath}: choose another name`);
    }
  }
}

/**
 * Writes a file that gets its name only when it is whole. An older file of that name is replaced then. What is no
 * file, such as a pipe or a device, stays what it is: it is written to. A name that ends in .gz is compressed.
 */
export async function writeFile(path: string, lines: AsyncGenerator<string>): Promise<void> {
  const known = statOf(path);
  const into = (name: string, flags: string) => {
    const file = createWriteStream(name, { mode: 0o600, flags, flush: flags === "wx" });
    return path.endsWith(".gz") ? pipeline(lines, createGzip(), file) : pipeline(lines, file);
  };
  if (known !== undefined && !known.isFile()) return into(path, "w");
  // A link stays a link: the file that it leads to is replaced.
  const target = known === undefined ? path : realpathSync(path);
  const partial = `${target}.partial-${process.pid}`;
  try {
    await into(partial, "wx");
    await rename(partial, target);
  } finally {
    await rm(partial, { force: true });
  }
}
