import type { WriterContext } from "../runs/writer-context.ts";
import { lockPathOf, removeLock } from "./instance-lock.ts";

/** Milliseconds on a clock that nobody sets. */
function uptimeMs(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6);
}

/** Writes this runner's sign of life, and its row when there is none yet. */
export function beat({ statements, config, identity }: WriterContext): void {
  const { host, pid, processStart } = identity;
  const { instanceId, leaseMs } = config;
  statements.heartbeat.run(instanceId, host, pid, processStart, leaseMs, Date.now(), uptimeMs());
}

/** Whether another instance has the file open, alive or not yet found dead. */
export function hasNeighbours({ statements, config }: WriterContext): boolean {
  return statements.otherInstance.get(config.instanceId) !== undefined;
}

/** Whether another instance is alive, which may be following what this one does. */
export function hasLiveNeighbours({ statements, config, liveness }: WriterContext): boolean {
  return statements.instances
    .all()
    .some((row) => row.instance_id !== config.instanceId && liveness.isRowAlive(row));
}

/** Removes the rows of runners that are gone, once nothing names them as an owner, and what they left. */
export function forgetDeadInstances({ statements, journals, liveness, file }: WriterContext): void {
  const dead = statements.instances.all().filter((row) => !liveness.isRowAlive(row));
  for (const { instance_id } of dead) {
    const isForgotten = statements.deleteIdleInstance.run(instance_id, instance_id).changes === 1;
    if (isForgotten && file !== null) removeLock(lockPathOf(file, instance_id));
  }
  if (dead.length > 0) journals.sweepOrphans();
}
