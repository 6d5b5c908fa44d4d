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
import { messageOf, RunStoreError, type RunStoreErrorCode } from "../../../src/protocol/errors.ts";
import { codeOf } from "./fault.ts";

/*
 * Checks and creates the database file before SQLite opens it.
 *
 * Nothing here opens a database file that has its name. POSIX drops all locks of a process on a file as
 * soon as the process closes any descriptor of that file, SQLite's locks included. Another program could
 * then close the database as its last user and delete the WAL, with the runs in it. So an existing file
 * is only inspected by its path, and a new file is closed before it gets its name.
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

/** SQLite takes paths of up to 512 bytes, suffixes included. */
const MAX_PATH_BYTES = 512;

/** The longest suffix of a file beside the database: the journal of a lock file, see `lockPathOf`. */
const LONGEST_SUFFIX = "-lock-01234567-journal";

/** Symbolic links that are followed at most: Linux has the same limit. */
const MAX_LINKS = 40;

/**
 * Creates the file, empty and private, unless it exists. Refuses a file that processes could not share
 * safely. Returns the real path of the file: the WAL lies beside that.
 *
 * @throws {RunStoreError} `CANNOT_OPEN`, `READ_ONLY`, `NAME_TOO_LONG`, `DISK_FULL`, `IO_ERROR`.
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
    const code = error instanceof RunStoreError ? error.code : systemCodeOf(error);
    const message =
      codeOf(error) === "ENAMETOOLONG" ? nameTooLong("the file system allows") : messageOf(error);
    throw new RunStoreError(
      code ?? "CANNOT_OPEN",
      `cannot open ${givenPath} for writing: ${message}`,
    );
  }
}

/** The path at the end of the chain of symbolic links, whether there is a file or not. */
function followLinks(givenPath: string): string {
  let path = givenPath;
  for (let links = 0; links < MAX_LINKS; links++) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isSymbolicLink() !== true) return path;
    path = resolve(realpathSync(dirname(path)), readlinkSync(path));
  }
  throw new RunStoreError("CANNOT_OPEN", "the symbolic link leads back to itself");
}

/**
 * Creates the missing directories, one `mkdirSync` each. With `recursive`, `mkdirSync` never returns when
 * an existing parent takes no directory, such as a folder of /proc or a dangling symbolic link.
 */
function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = path; !existsSync(at) && at !== dirname(at); at = dirname(at)) missing.push(at);
  for (const directory of missing.reverse()) {
    try {
      mkdirSync(directory);
    } catch (error) {
      // Another process may have made the directory just now. If the name is a file, the next step
      // fails.
      if (codeOf(error) !== "EEXIST") throw error;
    }
    syncDirectory(dirname(directory));
  }
}

/** Refuses a symbolic link into a missing directory: its disk may not be mounted. */
function assertDirectory(path: string): void {
  if (existsSync(path)) return;
  throw new RunStoreError(
    "CANNOT_OPEN",
    `it is a symbolic link into ${path}, which does not exist`,
  );
}

function assertNameFits(path: string): void {
  if (Buffer.byteLength(path + LONGEST_SUFFIX) > MAX_PATH_BYTES) {
    const max = MAX_PATH_BYTES - LONGEST_SUFFIX.length;
    throw new RunStoreError("NAME_TOO_LONG", nameTooLong(`SQLite allows, which is ${max} bytes,`));
  }
  // The file system limits each name. This throws ENAMETOOLONG if the longest name beside it is too long.
  lstatSync(path + LONGEST_SUFFIX, { throwIfNoEntry: false });
}

function nameTooLong(limit: string): string {
  return `its name is longer than ${limit} with the "-wal" and the other suffixes of the files beside it: choose a shorter one`;
}

/** The prefix of the temporary name under which a new file is created. */
const BIRTH_NAME = ".durable-agent-runner-new-";

/**
 * Creates the file with mode 0600: SQLite would use the umask's mode, and conversations are private.
 *
 * The file is created under a temporary name, closed, and then linked to its own name. So no descriptor
 * is closed here while another thread of this process may have locks on the file. When several threads or
 * processes create the file together, one of them makes the link, and the others find the file there.
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

/** Creates an empty file with mode 0600. Throws `EEXIST` if there is a file of that name. */
export function createExclusively(path: string): void {
  closeSync(openSync(path, "wx", 0o600));
}

/**
 * For file systems without hard links. A risk remains: a thread of this process that opens the file in the
 * microseconds between creation and closing loses its lock. That does harm only if a program with an older
 * SQLite then opens the file and closes it while this process has it open.
 */
function createWithoutLink(path: string): void {
  try {
    createExclusively(path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/** Refuses a path that is no regular file, and a file that other processes may open by another name. */
function assertOneFile(path: string): void {
  let file = statSync(path);
  if (!file.isFile())
    throw new RunStoreError("CANNOT_OPEN", `it is ${kindOf(file)}, and not a file`);
  // An empty file is new: its name must survive a power cut, whichever process made it.
  if (file.size === 0) syncDirectory(dirname(path));
  if (file.nlink > 1) {
    removeBirthNames(path, file);
    file = statSync(path);
  }
  // SQLite names the WAL after the database: under two names, two processes would write two WALs.
  if (file.nlink > 1) {
    throw new RunStoreError(
      "CANNOT_OPEN",
      `the file has ${file.nlink} names (hard links), and SQLite would write a WAL for each; remove the others (find them with "find DIRECTORY -samefile ${path}"), or use a symbolic link`,
    );
  }
  if (isMountPoint(path)) {
    throw new RunStoreError(
      "CANNOT_OPEN",
      `the file is mounted by itself, and its WAL would stay on this side of the mount; mount its directory instead`,
    );
  }
}

/** Removes the temporary names of the file. They stay when the process that made the file was killed. */
function removeBirthNames(path: string, file: Stats): void {
  const directory = dirname(path);
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(BIRTH_NAME)) continue;
    const other = join(directory, name);
    // In one directory, an inode number identifies a file.
    if (statSync(other, { throwIfNoEntry: false })?.ino === file.ino)
      rmSync(other, { force: true });
  }
}

/** What is at a path, in words, if it is no regular file. */
export function kindOf(file: Stats): string {
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
    // Only Linux has this file.
    return false;
  }
  // The fifth field is the mount point, with blanks and backslashes in octal: proc(5).
  const points = mounts.split("\n").map((line) => line.split(" ")[4] ?? "");
  const unescaped = points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
  return unescaped.includes(path);
}

/**
 * Syncs a directory, so that a new name in it survives a power cut. As in SQLite, a directory that cannot
 * be opened, or whose file system cannot sync it, is no reason to fail.
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
