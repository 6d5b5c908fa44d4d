import { spawnSync } from "node:child_process";

/**
 * Runs the following command as process 1 of a pid namespace of its own, like a container. Needs root.
 */
export const NEW_PID_NAMESPACE: readonly [string, ...string[]] = [
  "unshare",
  "--pid",
  "--fork",
  "--mount-proc",
  "--kill-child",
];

export function canMakePidNamespaces(): boolean {
  const [command, ...args] = NEW_PID_NAMESPACE;
  return spawnSync(command, [...args, "true"]).status === 0;
}
