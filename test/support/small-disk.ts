import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface SmallDisk {
  readonly path: string;
  /** Leaves no room at all. */
  readonly fill: () => void;
  /** Gives back what `fill` took. */
  readonly clear: () => void;
  readonly unmount: () => void;
}

/** A file system of 48 MiB below `directory`; null where none can be mounted. */
export function mountSmallDisk(directory: string): SmallDisk | null {
  const path = join(directory, "disk");
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m", "tmpfs", path], { stdio: "pipe" });
  } catch (error) {
    // Only root may mount; the caller has another way.
    if (error instanceof Error) return null;
    throw error;
  }
  const filler = join(path, "filler");
  return {
    path,
    fill() {
      const fd = openSync(filler, "a");
      try {
        for (const size of [1024 * 1024, 4096, 1]) writeUntilFull(fd, Buffer.alloc(size));
      } finally {
        closeSync(fd);
      }
    },
    clear: () => rmSync(filler, { force: true }),
    unmount: () => void execFileSync("umount", ["--lazy", path]),
  };
}

function writeUntilFull(fd: number, block: Buffer): void {
  try {
    while (writeSync(fd, block) === block.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
