import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf } from "./fault.ts";

/** What tells one process from every other one, reused pids and containers included. */
export interface ProcessIdentity {
  /** Host, boot and pid namespace: a pid means something only within one of these. */
  readonly host: string;
  readonly pid: number;
  /** The kernel's start time of the process, or null where the system does not tell. */
  readonly processStart: string | null;
}

function readOrEmpty(read: () => string): string {
  try {
    return read().trim();
  } catch {
    // Only Linux has /proc; elsewhere the host name stands alone.
    return "";
  }
}

/**
 * Start time of `pid` in clock ticks since boot (field 22 of proc(5) stat), "" for a process that
 * is gone or a zombie, which holds its pid but will never run again.
 */
function startTimeOf(pid: number): string {
  const stat = readOrEmpty(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  return state === "Z" || state === "X" ? "" : (fields[19] ?? "");
}

export function ownIdentity(): ProcessIdentity {
  const boot = readOrEmpty(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  const namespaceOf = (kind: string) => readOrEmpty(() => readlinkSync(`/proc/self/ns/${kind}`));
  return {
    host: [hostname(), boot, namespaceOf("pid")].join("|"),
    pid: process.pid,
    processStart: startTimeOf(process.pid) || null,
  };
}

/** False when the process is certainly gone; null when it lives where this host cannot look. */
export function isProcessAlive(process_: ProcessIdentity, own: ProcessIdentity): boolean | null {
  if (process_.host !== own.host) return null;
  if (process_.processStart !== null) return startTimeOf(process_.pid) === process_.processStart;
  try {
    process.kill(process_.pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists and belongs to someone else.
    return codeOf(error) === "EPERM";
  }
}
