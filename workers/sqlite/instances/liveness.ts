import { isLocked, lockPathOf } from "./instance-lock.ts";
import { isProcessAlive, type ProcessIdentity } from "./process-identity.ts";
import type { InstanceRow, OwnerStatements } from "./statements.ts";

/**
 * How long a lock has to be free before a process counts as gone. The threads that hold it may all die, and
 * be replaced.
 */
const FREE_MS = 300;

/** What this instance has seen of the heartbeats of another one. */
interface SeenHeartbeat {
  /** `heartbeat_uptime` as it was last seen. */
  uptime: number;
  /** Milliseconds in which it has stood still while this instance could write. */
  stillMs: number;
}

export interface LivenessOptions {
  readonly statements: Pick<OwnerStatements, "instance">;
  /** The id of this instance. */
  readonly instanceId: string;
  readonly identity: ProcessIdentity;
  /** Real path of the database, or null for a database in memory, which has no other instances. */
  readonly file: string | null;
}

/**
 * Which instances are alive.
 *
 * An instance is dead at once when the kernel says that its process is gone: by the process id within
 * this pid namespace, by the lock file from any other one.
 *
 * Otherwise the heartbeats decide: the instance is dead when its heartbeat has stood still for its lease
 * while this instance could write. Time in which nobody could write (a full disk, a locked database)
 * counts against no instance. Clocks are not compared: neither the clocks of two hosts, nor a clock
 * before and after it was set.
 *
 * A reader cannot write, and so never judges by heartbeats. The writer of its process does, and ends the
 * runs of dead instances.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  /** By instance id. */
  readonly #seen = new Map<string, SeenHeartbeat>();
  /** By instance id: when its lock was first found free, in milliseconds of `performance.now()`. */
  readonly #freeSince = new Map<string, number>();
  #isWatching = false;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Whether the instance may still be executing its runs. An instance without a row is gone. */
  isAlive(instanceId: string): boolean {
    const row = this.#options.statements.instance.get(instanceId);
    return row !== undefined && this.isRowAlive(row);
  }

  isRowAlive(row: InstanceRow): boolean {
    const { instanceId, identity, file } = this.#options;
    const { instance_id, host, pid, process_start, lease_ms } = row;
    if (instance_id === instanceId) return true;
    const isThere = isProcessAlive({ host, pid, processStart: process_start }, identity);
    if (isThere === false) return false;
    const isFree =
      isThere === null && file !== null && isLocked(lockPathOf(file, instance_id)) === false;
    if (isFree) return !this.#isGone(instance_id);
    this.#freeSince.delete(instance_id);
    const seen = this.#seen.get(instance_id);
    return seen === undefined || seen.uptime !== row.heartbeat_uptime || seen.stillMs < lease_ms;
  }

  /** An instance that has just opened the file believes the first look: it is to begin at once. */
  #isGone(instanceId: string): boolean {
    if (!this.#isWatching) return true;
    const now = performance.now();
    const since = this.#freeSince.get(instanceId) ?? now;
    this.#freeSince.set(instanceId, since);
    return now - since >= FREE_MS;
  }

  /**
   * Takes note of the heartbeats of all instances. `writableMs` is the time since the last call in which
   * this instance could write, and so every other instance could.
   */
  observe(rows: readonly InstanceRow[], writableMs: number): void {
    this.#isWatching = true;
    const gone = new Set(this.#seen.keys());
    for (const { instance_id, heartbeat_uptime } of rows) {
      gone.delete(instance_id);
      const seen = this.#seen.get(instance_id);
      if (seen?.uptime === heartbeat_uptime) seen.stillMs += writableMs;
      else this.#seen.set(instance_id, { uptime: heartbeat_uptime, stillMs: 0 });
    }
    for (const instanceId of gone) {
      this.#seen.delete(instanceId);
      this.#freeSince.delete(instanceId);
    }
  }
}
