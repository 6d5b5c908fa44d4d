import type { PeerName } from "../peers/peers.ts";
import type { Point } from "../results.ts";

/** What one child process is to do. */
export interface Assignment {
  readonly workload: WorkloadName;
  readonly peer: PeerName;
  readonly points: readonly number[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** An empty directory of its own. */
  readonly directory: string;
  readonly settings: Settings;
}

export interface Settings {
  /** Events of one run, RUN_STARTED and RUN_FINISHED included. */
  readonly eventsPerRun?: number;
  /** `client`: through `runAgent` of an AbstractAgent. `direct`: past it, straight to the runner. */
  readonly agents?: "direct" | "client";
  /** Events a second that each thread emits. */
  readonly eventsPerSecond?: number;
}

export type WorkloadName =
  | "load"
  | "model-pace"
  | "start"
  | "connect"
  | "storage"
  | "reconnect"
  | "follow"
  | "micro";

export type Workload = (assignment: Assignment) => Promise<readonly Point[]>;
