import type { PeerName } from "./peers/peers.ts";
import type { TrialResult } from "./results.ts";
import type { Settings, WorkloadName } from "./workloads/workload.ts";

/** How much of a trial is done. */
export interface Effort {
  /** Seconds that are measured in one process. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** How often each peer's turn comes. */
  readonly rounds: number;
  /** Rounds at some points, where they differ. */
  readonly roundsAt?: Readonly<Record<number, number>>;
  readonly points?: readonly number[];
  readonly peers?: readonly PeerName[];
}

export interface Trial extends Omit<TrialResult, "samples" | "baseline"> {
  readonly workload: WorkloadName;
  /** In the order in which they take turns. */
  readonly peers: readonly PeerName[];
  readonly baseline: PeerName | null;
  /** Places on the axis. */
  readonly points: readonly number[];
  /** The only points of some peers, where the others would take minutes or tell nothing. */
  readonly pointsFor?: Partial<Record<PeerName, readonly number[]>>;
  /** Whether each point has a process of its own; else one process measures all in turn. */
  readonly separate: boolean;
  readonly settings: Settings;
  readonly full: Effort;
  /** Null: not in `--quick`. */
  readonly quick: Effort | null;
}
