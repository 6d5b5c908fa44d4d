import type { PeerName } from "./peers/peers.ts";
import type { Effort, Trial } from "./trial.ts";
import { MICRO_STEPS } from "./trials/micro.ts";
import type { Assignment } from "./workloads/workload.ts";

/** Seconds that a process takes in addition to its measurement. */
const OVERHEAD_SECONDS = 0.8;

export interface Turn {
  readonly trial: string;
  readonly round: number;
  readonly task: Omit<Assignment, "directory">;
  readonly expectedSeconds: number;
}

/** The turns of a trial. Each round has every peer once, so that neighbouring turns can be compared. */
export function turnsOf(trial: Trial, effort: Effort): readonly Turn[] {
  const { seconds, warmUpSeconds } = effort;
  const points = effort.points ?? trial.points;
  const peers = trial.peers.filter((peer) => effort.peers?.includes(peer) ?? true);
  const steps = trial.workload === "micro" ? MICRO_STEPS : 1;
  const expectedSeconds = (seconds + warmUpSeconds) * steps + OVERHEAD_SECONDS;
  const turn = (round: number, peer: PeerName, group: readonly number[]): readonly Turn[] => {
    const own = trial.pointsFor?.[peer];
    const at = group.filter((point) => own?.includes(point) ?? true);
    if (at.length === 0) return [];
    const { name, workload, settings } = trial;
    const task = { workload, peer, points: at, seconds, warmUpSeconds, settings };
    return [{ trial: name, round, task, expectedSeconds }];
  };
  const groups = trial.separate ? points.map((point) => [point]) : [points];
  return groups.flatMap((group) => {
    const [first = 0] = group;
    const rounds = trial.separate ? (effort.roundsAt?.[first] ?? effort.rounds) : effort.rounds;
    return Array.from({ length: rounds }, (_, round) =>
      peers.flatMap((peer) => turn(round, peer, group)),
    ).flat();
  });
}
