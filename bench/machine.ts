import { closeSync, fsyncSync, openSync, readFileSync, statfsSync, writeSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNumber } from "./figures.ts";
import { median } from "./statistics.ts";

/** The file systems by their `statfs` type: https://man7.org/linux/man-pages/man2/statfs.2.html */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  16914836: "tmpfs (memory: nothing is written to a disk)",
  1481003842: "xfs",
  2435016766: "btrfs",
  801189825: "zfs",
  2035054128: "overlayfs",
  26985: "nfs",
};

const FSYNCS = 20;

/** Milliseconds that this disk takes to sync 4 KiB. Each commit has to wait that long. */
function fsyncMs(directory: string): number {
  const file = openSync(join(directory, "fsync"), "w");
  const block = Buffer.alloc(4096, 1);
  const times = Array.from({ length: FSYNCS }, () => {
    const startedAt = performance.now();
    writeSync(file, block);
    fsyncSync(file);
    return performance.now() - startedAt;
  });
  closeSync(file);
  return median(times);
}

/** The properties of the machine that the figures depend on. */
export function describeMachine(directory: string): Record<string, string> {
  const [cpu] = cpus();
  const { type } = statfsSync(directory);
  return {
    processor: `${cpu?.model.trim() ?? "unknown"}, ${availableParallelism()} cores`,
    memory: `${Math.round(totalmem() / 1024 ** 3)} GiB`,
    system: `${process.platform} ${release()} ${process.arch}`,
    "file system": FILE_SYSTEMS[type] ?? `type ${type}`,
    "fsync of 4 KiB, median": `${formatNumber(fsyncMs(directory))} ms`,
    "load average at the start": loadavg()
      .map((load) => load.toFixed(2))
      .join(", "),
  };
}

function versionOf(manifest: URL): string {
  return (JSON.parse(readFileSync(fileURLToPath(manifest), "utf8")) as { version: string }).version;
}

/** The installed versions of the measured packages. */
export function describeVersions(): Record<string, string> {
  const packages = ["better-sqlite3", "piscina", "rxjs", "@ag-ui/client", "@copilotkit/runtime"];
  const root = new URL("../", import.meta.url);
  const versions: Record<string, string> = {
    "durable-agent-runner": versionOf(new URL("package.json", root)),
    node: process.versions.node,
    v8: process.versions.v8,
  };
  for (const name of packages) {
    versions[name] = versionOf(new URL(`node_modules/${name}/package.json`, root));
  }
  return versions;
}

/** Milliseconds for which all processors together have been busy, for any process. */
export function busyMs(): number {
  return cpus().reduce(
    (sum, { times }) => sum + times.user + times.nice + times.sys + times.irq,
    0,
  );
}
