import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Thrown when recording is not possible on this machine. */
export class CannotRecord extends Error {}

const SOURCES = ["record.c", "calls.c"].map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
);

/** Compiles the library that is preloaded into processes, and returns its path. */
export function buildLibrary(directory: string): string {
  if (process.platform !== "linux") {
    throw new CannotRecord(`it needs Linux and its LD_PRELOAD, and this is ${process.platform}`);
  }
  const library = join(directory, "power.so");
  const flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"];
  const { error, status, stderr } = spawnSync("cc", [...flags, "-o", library, ...SOURCES, "-ldl"], {
    encoding: "utf8",
  });
  if (error !== undefined) {
    const isMissing = "code" in error && error.code === "ENOENT";
    const fix = "it needs a C compiler named cc (Debian: apt-get install gcc libc6-dev)";
    throw new CannotRecord(isMissing ? fix : `cc could not be started: ${error.message}`);
  }
  if (status !== 0) throw new CannotRecord(`cc failed with ${status}:\n${stderr}`);
  return library;
}
