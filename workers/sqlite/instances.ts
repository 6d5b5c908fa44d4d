import { isProcessAlive, type ProcessIdentity } from "./process-identity.ts";
import type { InstanceRow } from "./statements.ts";
import type { WriterContext } from "./writer-context.ts";

/** Milliseconds on a clock that nobody sets: the same one for all processes of one boot. */
function uptimeMs(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6);
}

/**
 * Whether the runner that owns a run can still end it. A process of this host that is gone is
 * dead at once; any other is alive while its heartbeat is younger than its lease. The time of day
 * counts between machines only: on one of them it may be set, and nobody's lease must end by that.
 */
export function isInstanceAlive(instance: InstanceRow | undefined, own: ProcessIdentity): boolean {
  if (instance === undefined) return false;
  const processAlive = isProcessAlive(
    { host: instance.host, pid: instance.pid, processStart: instance.process_start },
    own,
  );
  if (processAlive === false) return false;
  const age =
    instance.clock === own.clock
      ? uptimeMs() - instance.heartbeat_uptime
      : Date.now() - instance.heartbeat_at;
  return Math.abs(age) < instance.lease_ms;
}

/** Writes this runner's sign of life, and its row when there is none yet. */
export function beat({ statements, config, identity }: WriterContext): void {
  const { host, clock, pid, processStart } = identity;
  const { instanceId, leaseMs } = config;
  const row = [
    instanceId,
    host,
    clock,
    pid,
    processStart,
    leaseMs,
    Date.now(),
    uptimeMs(),
  ] as const;
  statements.heartbeat.run(...row);
}

/** Whether another instance has the file open, alive or not yet found dead. */
export function hasNeighbours({ statements, config }: WriterContext): boolean {
  return statements.otherInstance.get(config.instanceId) !== undefined;
}

/** Whether another instance is alive, which may be following what this one does. */
export function hasLiveNeighbours({ statements, config, identity }: WriterContext): boolean {
  return statements.instances
    .all()
    .some((row) => row.instance_id !== config.instanceId && isInstanceAlive(row, identity));
}

/** Removes the rows of runners that are gone, once nothing names them as an owner, and what they left. */
export function forgetDeadInstances({ statements, journals, identity }: WriterContext): void {
  const dead = statements.instances
    .all()
    .filter((instance) => !isInstanceAlive(instance, identity));
  for (const { instance_id } of dead) statements.deleteIdleInstance.run(instance_id, instance_id);
  if (dead.length > 0) journals.sweepOrphans();
}
