import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { tempDirectory } from "../support/temp-file.ts";

export interface TinyDisk {
  readonly path: string;
  /** Leaves no room at all. */
  readonly fill: () => void;
  /** Gives back what `fill` took. */
  readonly clear: () => void;
  /** Makes all of it read-only, for root too. */
  readonly writeProtect: () => void;
}

/** A file system of a few megabytes, gone with the test. Skips the test where none can be made. */
export function tinyDisk(skip: (why: string) => never): TinyDisk {
  const path = tempDirectory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", path], { stdio: "pipe" });
  } catch (error) {
    skip(`no file system of its own for this test: ${(error as Error).message}`);
  }
  onTestFinished(() => void execFileSync("umount", ["--lazy", path]));
  const filler = join(path, "filler");
  return {
    path,
    fill() {
      const fd = openSync(filler, "a");
      try {
        for (const size of [64 * 1024, 4096, 1]) writeUntilFull(fd, Buffer.alloc(size));
      } finally {
        closeSync(fd);
      }
    },
    clear: () => rmSync(filler, { force: true }),
    writeProtect: () => void execFileSync("mount", ["-o", "remount,ro", path]),
  };
}

function writeUntilFull(fd: number, block: Buffer): void {
  try {
    while (writeSync(fd, block) === block.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
