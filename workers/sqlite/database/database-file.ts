import { randomUUID } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { messageOf, type RunStoreErrorCode } from "../../../src/protocol/errors.ts";
import { codeOf, Fault } from "./fault.ts";

/*
 * What is done with the database file before SQLite opens it.
 *
 * Nothing here opens it. POSIX drops all locks that a process has on a file as soon as the process
 * closes any descriptor of that file, and SQLite's locks with them: another program would then take
 * itself for the last user of the database and delete its WAL, with the runs in it. So the file is
 * only looked at, and a new one gets its name when it was closed already.
 * https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
 */

const SYSTEM_CODES: Readonly<Record<string, RunStoreErrorCode>> = {
  ENOSPC: "DISK_FULL",
  EDQUOT: "DISK_FULL",
  EIO: "IO_ERROR",
  EROFS: "READ_ONLY",
  EACCES: "READ_ONLY",
  EPERM: "READ_ONLY",
  ENAMETOOLONG: "NAME_TOO_LONG",
};

/** The code under which an error of the file system is reported, or null for any other error. */
export function systemCodeOf(error: unknown): RunStoreErrorCode | null {
  if (!(error instanceof Error && "syscall" in error)) return null;
  return SYSTEM_CODES[codeOf(error)] ?? "CANNOT_OPEN";
}

/** SQLite takes paths of up to 512 bytes, its own suffixes included. */
const MAX_PATH_BYTES = 512;
/** What the longest name beside the database ends with: a lock file's journal, `lockPathOf`. */
const LONGEST_SUFFIX = "-lock-01234567-journal";
const MAX_LINKS = 40;

/**
 * Makes the file, empty and private, unless it exists, and refuses what SQLite could not share with
 * others safely. Returns the file's real path: SQLite's WAL lies beside that.
 *
 * @throws {Fault} `CANNOT_OPEN`, `READ_ONLY`, `NAME_TOO_LONG`, `DISK_FULL`, `IO_ERROR`.
 */
export function prepareFile(givenPath: string): string {
  try {
    const named = followLinks(givenPath);
    if (named === givenPath) makeDirectory(dirname(named));
    else assertDirectory(dirname(named));
    const path = join(realpathSync(dirname(named)), basename(named));
    assertNameFits(path);
    if (!existsSync(path)) createPrivateFile(path);
    assertOneFile(path);
    accessSync(path, constants.R_OK | constants.W_OK);
    return path;
  } catch (error) {
    const code = error instanceof Fault ? error.code : systemCodeOf(error);
    const message =
      codeOf(error) === "ENAMETOOLONG" ? nameTooLong("the file system allows") : messageOf(error);
    throw new Fault(code ?? "CANNOT_OPEN", `cannot open ${givenPath} for writing: ${message}`);
  }
}

/** What the path names: the end of the chain of symbolic links, whether there is a file or not. */
function followLinks(givenPath: string): string {
  let path = givenPath;
  for (let links = 0; links < MAX_LINKS; links++) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isSymbolicLink() !== true) return path;
    path = resolve(realpathSync(dirname(path)), readlinkSync(path));
  }
  throw new Fault("CANNOT_OPEN", "the symbolic link leads back to itself");
}

/**
 * `mkdirSync` with `recursive` never returns for a path below one that exists and takes nothing:
 * a folder of /proc, a symbolic link that leads nowhere. This asks for each directory once.
 */
function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = path; !existsSync(at) && at !== dirname(at); at = dirname(at)) missing.push(at);
  for (const directory of missing.reverse()) {
    try {
      mkdirSync(directory);
    } catch (error) {
      // Another process may make it at the same time. What else it may be, the next step tells.
      if (codeOf(error) !== "EEXIST") throw error;
    }
    syncDirectory(dirname(directory));
  }
}

/** A link to a disk that is not mounted must not become a database on another one. */
function assertDirectory(path: string): void {
  if (existsSync(path)) return;
  throw new Fault("CANNOT_OPEN", `it is a symbolic link into ${path}, which does not exist`);
}

function assertNameFits(path: string): void {
  if (Buffer.byteLength(path + LONGEST_SUFFIX) > MAX_PATH_BYTES) {
    const max = MAX_PATH_BYTES - LONGEST_SUFFIX.length;
    throw new Fault("NAME_TOO_LONG", nameTooLong(`SQLite allows, which is ${max} bytes,`));
  }
  // The file system's own limit is on each name: one that fits may not fit with its suffix.
  lstatSync(path + LONGEST_SUFFIX, { throwIfNoEntry: false });
}

function nameTooLong(limit: string): string {
  return `its name is longer than ${limit} with the "-wal" and the other suffixes of the files beside it: choose a shorter one`;
}

/** How the name begins under which a new file is made. */
const BIRTH_NAME = ".durable-agent-runner-new-";

/**
 * SQLite would create the file with the umask's mode; conversations are nobody else's to read.
 *
 * The file is made under another name, closed, and then linked to its own name. So a thread of this
 * process that opens it by its own name loses no lock, however early it comes. Of several that make
 * the file at the same time, one makes the link, and the others find it made.
 */
function createPrivateFile(path: string): void {
  const birthName = join(dirname(path), BIRTH_NAME + randomUUID());
  createExclusively(birthName);
  try {
    linkSync(birthName, path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") createWithoutLink(path);
  } finally {
    rmSync(birthName, { force: true });
  }
}

export function createExclusively(path: string): void {
  closeSync(openSync(path, "wx", 0o600));
}

/**
 * For file systems without hard links. What remains: a thread of this process that opens the file
 * between its creation and its closing, some microseconds, has its lock dropped. That costs nothing
 * unless a program with an older SQLite then looks at the file while the process has it open.
 */
function createWithoutLink(path: string): void {
  try {
    createExclusively(path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/** Refuses what is no file, and a file that others may know by another name. */
function assertOneFile(path: string): void {
  let file = statSync(path);
  if (!file.isFile()) throw new Fault("CANNOT_OPEN", `it is ${kindOf(file)}, and not a file`);
  // Nothing was committed to it before: its name must survive a power cut, whoever made it.
  if (file.size === 0) syncDirectory(dirname(path));
  if (file.nlink > 1) {
    removeBirthNames(path, file);
    file = statSync(path);
  }
  // SQLite names the WAL after the database: by two names, two processes would write two WALs.
  if (file.nlink > 1) {
    throw new Fault(
      "CANNOT_OPEN",
      `the file has ${file.nlink} names (hard links), and SQLite would write a WAL for each; remove the others (find them with "find DIRECTORY -samefile ${path}"), or use a symbolic link`,
    );
  }
  if (isMountPoint(path)) {
    throw new Fault(
      "CANNOT_OPEN",
      `the file is mounted by itself, and its WAL would stay on this side of the mount; mount its directory instead`,
    );
  }
}

/** Its maker is about to remove such a name, or was killed before it could. */
function removeBirthNames(path: string, file: Stats): void {
  const directory = dirname(path);
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(BIRTH_NAME)) continue;
    const other = join(directory, name);
    if (statSync(other, { throwIfNoEntry: false })?.ino === file.ino)
      rmSync(other, { force: true });
  }
}

function kindOf(file: Stats): string {
  if (file.isDirectory()) return "a directory";
  if (file.isFIFO()) return "a FIFO";
  if (file.isSocket()) return "a socket";
  return "a device";
}

function isMountPoint(path: string): boolean {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    // Only Linux tells.
    return false;
  }
  // The fifth field, with blanks and backslashes in octal: proc(5).
  const points = mounts.split("\n").map((line) => line.split(" ")[4] ?? "");
  const unescaped = points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
  return unescaped.includes(path);
}

/**
 * A new name in a directory survives a power cut only when the directory is synced. As in SQLite, a
 * directory that cannot be opened, or that the file system does not sync, is no reason to fail.
 */
export function syncDirectory(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return;
  }
  try {
    fsyncSync(fd);
  } catch (error) {
    if (codeOf(error) === "EIO" || codeOf(error) === "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
}
