import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf } from "../database/fault.ts";

/** Identifies a process, even where pids are reused or containers have their own pids. */
export interface ProcessIdentity {
  /** Host, boot and pid namespace: two pids can be compared only if these are the same. */
  readonly host: string;
  readonly pid: number;
  /** The kernel's start time of the process, or null where the system has none. */
  readonly processStart: string | null;
}

function readOrEmpty(read: () => string): string {
  try {
    return read().trim();
  } catch {
    // Only Linux has /proc. Elsewhere the host name alone identifies the host.
    return "";
  }
}

/** The process exists, but its start time cannot be read. */
const UNKNOWN = null;

/** The process does not exist any more. */
const GONE = "";

/**
 * The start time of `pid` in clock ticks since boot (field 22 of proc(5) stat).
 *
 * `GONE` also for a zombie, which holds its pid but will never run again. `UNKNOWN` when the process
 * exists but its stat cannot be read: this process has no file descriptor left, or /proc hides the
 * processes of other users (`hidepid`). An unreadable stat must not make a live process look dead.
 */
function startTimeOf(pid: number): string | typeof UNKNOWN {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8").trim();
  } catch {
    return exists(pid) ? UNKNOWN : GONE;
  }
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  return state === "Z" || state === "X" ? GONE : (fields[19] ?? UNKNOWN);
}

/** Whether there is a process of that id, a zombie included. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return codeOf(error) === "EPERM";
  }
}

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  const boot = readOrEmpty(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  const namespaceOf = (kind: string) => readOrEmpty(() => readlinkSync(`/proc/self/ns/${kind}`));
  return {
    host: [hostname(), boot, namespaceOf("pid")].join("|"),
    pid: process.pid,
    processStart: startTimeOf(process.pid) || null,
  };
}

/** False when the process is certainly gone; null when this process cannot tell. */
export function isProcessAlive(process_: ProcessIdentity, own: ProcessIdentity): boolean | null {
  const { host, pid, processStart } = process_;
  if (host !== own.host) return null;
  if (processStart === null) return exists(pid);
  const startTime = startTimeOf(pid);
  return startTime === UNKNOWN ? null : startTime === processStart;
}
