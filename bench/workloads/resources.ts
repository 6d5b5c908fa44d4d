import { readFileSync } from "node:fs";

/**
 * Bytes that this process has caused to be written to a disk so far. Null where the system does not
 * count.
 */
export function writtenBytes(): number | null {
  if (process.platform !== "linux") return null;
  const [, bytes] = /^write_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8")) ?? [];
  return bytes === undefined ? null : Number(bytes);
}

/** The difference of two readings. Null if there are none, and for tmpfs, which is no disk. */
export function writtenSince(before: number | null): number | null {
  const now = writtenBytes();
  return now === null || before === null || now === before ? null : now - before;
}

export function peakRssMiB(): number {
  return process.resourceUsage().maxRSS / 1024;
}

/** Milliseconds of processor time since `before`, all threads of the process together. */
export function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
