import type { PeerName } from "./peers/peers.ts";
import type { TrialResult } from "./results.ts";
import type { Settings, WorkloadName } from "./workloads/workload.ts";

/** The point at which most targets are measured. */
export const TYPICAL_THREADS = 200;

/** The amount of work in a trial. */
export interface Effort {
  /** Seconds of measurement in one process. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** The number of turns of each peer. */
  readonly rounds: number;
  /** The number of rounds at points where it differs. */
  readonly roundsAt?: Readonly<Record<number, number>>;
  readonly points?: readonly number[];
  readonly peers?: readonly PeerName[];
}

export interface Trial extends Omit<TrialResult, "samples" | "baseline" | "skipped"> {
  readonly workload: WorkloadName;
  /** In the order in which they take turns. */
  readonly peers: readonly PeerName[];
  readonly baseline: PeerName | null;
  /** The points on the axis. */
  readonly points: readonly number[];
  /**
   * The points of peers that are not measured at all points, because those would take minutes or show
   * nothing.
   */
  readonly pointsFor?: Partial<Record<PeerName, readonly number[]>>;
  /** Whether each point has a process of its own. Otherwise one process measures all points in turn. */
  readonly separate: boolean;
  readonly settings: Settings;
  /**
   * Whether its last point is the number of runs of a file that takes long to make, and is kept. Such a trial is measured
   * only if it is asked for by its name.
   */
  readonly keepsFile?: true;
  /** What has to be there. A trial without it is skipped, with the reason. */
  readonly needs?: "postgres";
  readonly full: Effort;
  /** Null for a trial that `--quick` leaves out. */
  readonly quick: Effort | null;
}
