import { isProcessAlive, type ProcessIdentity } from "./process-identity.ts";
import type { InstanceRow, WriterStatements } from "./statements.ts";

/**
 * Whether the runner that owns a run can still end it. A process of this host that is gone is
 * dead at once; any other is alive while its heartbeat is younger than its lease.
 */
export function isInstanceAlive(
  instance: InstanceRow | undefined,
  own: ProcessIdentity,
  now: number,
): boolean {
  if (instance === undefined) return false;
  const processAlive = isProcessAlive(
    { host: instance.host, pid: instance.pid, processStart: instance.process_start },
    own,
  );
  if (processAlive === false) return false;
  return now - instance.heartbeat_at < instance.lease_ms;
}

/** Writes this runner's sign of life, and its row when there is none yet. */
export function beat(
  statements: WriterStatements,
  instanceId: string,
  own: ProcessIdentity,
  leaseMs: number,
): void {
  statements.heartbeat.run(instanceId, own.host, own.pid, own.processStart, leaseMs, Date.now());
}

/** Removes the rows of runners that are gone, once nothing names them as an owner. */
export function forgetDeadInstances(statements: WriterStatements, own: ProcessIdentity): void {
  const now = Date.now();
  const owners = new Set(statements.runningThreads.all().map((row) => row.owner_id));
  for (const instance of statements.instances.all()) {
    if (!owners.has(instance.instance_id) && !isInstanceAlive(instance, own, now)) {
      statements.deleteInstance.run(instance.instance_id);
    }
  }
}
