import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { expectChange } from "../database/fault.ts";
import { lockPathOf, removeLock } from "./instance-lock.ts";
import type { Liveness } from "./liveness.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import type { InstanceStatements } from "./statements.ts";

/** This instance in its writer: its name, its process, and what the writer knows of other instances. */
export interface InstanceContext {
  readonly statements: InstanceStatements;
  readonly config: WorkerConfig;
  readonly identity: ProcessIdentity;
  readonly liveness: Liveness;
  /** Real path of the database file, or null for one in memory. */
  readonly file: string | null;
}

/** Milliseconds on the monotonic clock: setting the time of day does not change it. */
function uptimeMs(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6);
}

/** Writes the heartbeat of this instance. Inserts the row of this instance if it is missing. */
export function beat({ statements, config, identity }: InstanceContext): void {
  const { host, pid, processStart } = identity;
  const { instanceId, leaseMs } = config;
  const row = [instanceId, host, pid, processStart, leaseMs, Date.now(), uptimeMs()] as const;
  expectChange(statements.heartbeat.run(...row), "a heartbeat");
}

/** Whether another instance has a row: that instance is alive, or was not found dead yet. */
export function hasOtherInstances({ statements, config }: InstanceContext): boolean {
  return statements.otherInstance.get(config.instanceId) !== undefined;
}

/** Whether another instance is alive. Its clients may follow runs of this instance. */
export function hasOtherLiveInstances({ statements, config, liveness }: InstanceContext): boolean {
  return statements.instances
    .all()
    .some((row) => row.instance_id !== config.instanceId && liveness.isRowAlive(row));
}

/**
 * Removes the rows and the lock files of dead instances that own no run any more. Returns how many
 * instances are dead, those that still own a run included.
 */
export function forgetDeadInstances({ statements, liveness, file }: InstanceContext): number {
  const dead = statements.instances.all().filter((row) => !liveness.isRowAlive(row));
  for (const { instance_id } of dead) {
    const isForgotten = statements.deleteIdleInstance.run(instance_id, instance_id).changes === 1;
    if (isForgotten && file !== null) removeLock(lockPathOf(file, instance_id));
  }
  return dead.length;
}
