import { isLocked, lockPathOf } from "./instance-lock.ts";
import { isProcessAlive, type ProcessIdentity } from "./process-identity.ts";
import type { InstanceRow, OwnerStatements } from "./statements.ts";

/** What is known of another instance's heart. */
interface Heart {
  /** `heartbeat_uptime` as it was last seen. */
  beat: number;
  /** For how long it has stood still while this instance could write, in milliseconds. */
  stillMs: number;
}

export interface LivenessOptions {
  readonly statements: Pick<OwnerStatements, "instance">;
  /** This instance. */
  readonly instanceId: string;
  readonly identity: ProcessIdentity;
  /** The database's real path, or null for one in memory: nobody else can open that. */
  readonly file: string | null;
}

/**
 * Which instances are alive.
 *
 * A process that the kernel says is gone is dead at once: by its id within a pid namespace, by its lock
 * in any other one. Of a process that is there, or that the kernel knows nothing of, the heartbeats
 * count. It is dead when they have stood still for its lease while this instance could write. Time in
 * which nobody could write, because the disk was full or the database was locked, is nobody's death.
 * Clocks are not compared: neither those of two hosts, nor a clock before and after it was set.
 *
 * A reader cannot write and so never judges by heartbeats. The writer of its process does, and ends the
 * runs of the dead.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #hearts = new Map<string, Heart>();

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Whether the instance may still be executing its runs. One without a row is gone. */
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
    if (isFree) return false;
    const heart = this.#hearts.get(instance_id);
    return heart === undefined || heart.beat !== row.heartbeat_uptime || heart.stillMs < lease_ms;
  }

  /**
   * Takes note of the hearts of all instances. `writableMs` is the time since this was last called in
   * which this instance could write, and so could every other one.
   */
  observe(rows: readonly InstanceRow[], writableMs: number): void {
    const gone = new Set(this.#hearts.keys());
    for (const { instance_id, heartbeat_uptime } of rows) {
      gone.delete(instance_id);
      const heart = this.#hearts.get(instance_id);
      if (heart?.beat === heartbeat_uptime) heart.stillMs += writableMs;
      else this.#hearts.set(instance_id, { beat: heartbeat_uptime, stillMs: 0 });
    }
    for (const instanceId of gone) this.#hearts.delete(instanceId);
  }
}
