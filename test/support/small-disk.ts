import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface SmallDisk {
  readonly path: string;
  /** Fills the disk completely. */
  readonly fill: () => void;
  /** Frees the space that `fill` took. */
  readonly clear: () => void;
  readonly unmount: () => void;
}

/** Mounts a file system of so many MiB on the directory `path`. Throws if it cannot be mounted. */
export function mountSmallDisk(path: string, sizeMiB: number): SmallDisk {
  const size = `size=${sizeMiB}m`;
  execFileSync("mount", ["-t", "tmpfs", "-o", size, "tmpfs", path], { stdio: "pipe" });
  const filler = join(path, "filler");
  return {
    path,
    fill() {
      const fd = openSync(filler, "a");
      try {
        for (const length of [64 * 1024, 4096, 1]) writeUntilFull(fd, Buffer.alloc(length));
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
