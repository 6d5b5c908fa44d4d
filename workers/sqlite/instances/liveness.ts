import { type Heartbeat, Heartbeats, isInstanceAlive } from "../../../src/runs/liveness.ts";
import { isLocked, lockPathOf } from "./instance-lock.ts";
import { isProcessAlive, type ProcessIdentity } from "./process-identity.ts";
import type { InstanceRow, OwnerStatements } from "./statements.ts";

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
 * An instance is dead at once when the kernel says that its process is gone. The kernel tells this by
 * the process id within this pid namespace, and by the lock file from another pid namespace.
 *
 * Otherwise the heartbeats decide: see `Heartbeats`. An instance is dead when its heartbeat has stood
 * still for its lease while this instance could write.
 *
 * A reader cannot write, so it never judges by heartbeats. The writer of its instance does, and ends the
 * runs of dead instances.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #heartbeats = new Heartbeats();
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

  /** Like `isAlive`, for an instance whose row was read. */
  isRowAlive(row: InstanceRow): boolean {
    const { instanceId, identity } = this.#options;
    const { instance_id, host, pid, process_start, lease_ms } = row;
    if (instance_id === instanceId) return true;
    // A row of a damaged file may name no instance.
    if (typeof instance_id !== "string") return false;
    const isProcessThere = isProcessAlive({ host, pid, processStart: process_start }, identity);
    return isInstanceAlive({
      isProcessThere,
      lockFreeMs: isProcessThere === false ? null : this.#lockFreeMs(instance_id, isProcessThere),
      stillMs: this.#heartbeats.stillMs(heartbeatOf(row)),
      leaseMs: lease_ms,
    });
  }

  /** See `Heartbeats.observe`. */
  observe(rows: readonly InstanceRow[], writableMs: number): void {
    this.#isWatching = true;
    this.#heartbeats.observe(rows.map(heartbeatOf), writableMs);
    const there = new Set(rows.map((row) => row.instance_id));
    for (const id of this.#freeSince.keys()) if (!there.has(id)) this.#freeSince.delete(id);
  }

  /**
   * See `InstanceFacts.lockFreeMs`. The lock is tested only where the kernel does not know the process.
   */
  #lockFreeMs(instanceId: string, isProcessThere: true | null): number | null {
    const { file } = this.#options;
    const asksLock = isProcessThere === null && file !== null;
    if (!asksLock || isLocked(lockPathOf(file, instanceId)) !== false) {
      this.#freeSince.delete(instanceId);
      return null;
    }
    // Before the first heartbeat, one test decides: the opening of the file must not wait for more.
    if (!this.#isWatching) return Number.POSITIVE_INFINITY;
    const now = performance.now();
    const since = this.#freeSince.get(instanceId) ?? now;
    this.#freeSince.set(instanceId, since);
    return now - since;
  }
}

function heartbeatOf({ instance_id, heartbeat_uptime }: InstanceRow): Heartbeat {
  return { instanceId: instance_id, beat: heartbeat_uptime };
}
