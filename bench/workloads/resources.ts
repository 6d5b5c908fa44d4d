import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Linux counts the time of a process for its readers in hundredths of a second. */
const MS_PER_TICK = 10;

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

/** Bytes that the calling thread holds after a garbage collection: its heap, and what it keeps outside. */
export async function heldBytes(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  // Several times: what a finalizer lets go is free only after the next one.
  for (let time = 0; time < 3; time++) {
    collectGarbage();
    await delay(50);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Bytes of this process that are in memory, all threads included. */
export function residentBytes(): number {
  return process.memoryUsage.rss();
}

/** Processor time so far, in microseconds. */
export interface CpuReading {
  /** Of all threads of the process. */
  readonly processUs: number;
  /** Of the calling thread alone. */
  readonly threadUs: number;
}

export function readCpu(): CpuReading {
  const total = process.cpuUsage();
  const own = process.threadCpuUsage();
  return { processUs: total.user + total.system, threadUs: own.user + own.system };
}

/** The processor time of each of `runs` that lie between two readings. */
export function cpuPerRun(before: CpuReading, after: CpuReading, runs: number) {
  return {
    cpuUsPerRun: (after.processUs - before.processUs) / runs,
    mainUsPerRun: (after.threadUs - before.threadUs) / runs,
  };
}

/**
 * Milliseconds of processor time of the ended processes that this one had started. 0 where the system does
 * not tell.
 */
export function endedChildrenCpuMs(): number {
  if (process.platform !== "linux") return 0;
  // The name of the process, in brackets, may hold spaces. The times follow 13 fields after it.
  const [, rest = ""] = readFileSync("/proc/self/stat", "utf8").split(/\) (?=[^)]*$)/);
  const fields = rest.split(" ");
  return (Number(fields[13]) + Number(fields[14])) * MS_PER_TICK;
}
