import { execFileSync } from "node:child_process";
import { onTestFinished } from "vitest";
import { mountSmallDisk, type SmallDisk } from "./small-disk.ts";
import { tempDirectory } from "./temp-file.ts";

export interface TinyDisk extends SmallDisk {
  /** Makes all of it read-only, for root too. */
  readonly writeProtect: () => void;
}

/** A file system of a few megabytes, removed after the test. Skips the test if none can be mounted. */
export function tinyDisk(skip: (why: string) => never): TinyDisk {
  const path = tempDirectory();
  let disk: SmallDisk;
  try {
    disk = mountSmallDisk(path, 8);
  } catch (error) {
    skip(`no file system of its own for this test: ${(error as Error).message}`);
  }
  onTestFinished(disk.unmount);
  return {
    ...disk,
    writeProtect: () => void execFileSync("mount", ["-o", "remount,ro", path]),
  };
}
