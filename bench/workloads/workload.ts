import type { PeerName } from "../peers/peers.ts";
import type { Point } from "../results.ts";

/** The task of one child process. */
export interface Assignment {
  readonly workload: WorkloadName;
  readonly peer: PeerName;
  readonly points: readonly number[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** An empty directory of the process. */
  readonly directory: string;
  readonly settings: Settings;
}

export interface Settings {
  /** Events of one run, RUN_STARTED and RUN_FINISHED included. */
  readonly eventsPerRun?: number;
  /** `client`: events pass `runAgent` of an AbstractAgent. `direct`: they go to the runner directly. */
  readonly agents?: "direct" | "client";
  /** Events a second that each thread emits. */
  readonly eventsPerSecond?: number;
  /** Seconds that it may take to make the file, besides what is measured. */
  readonly setUpSeconds?: number;
  /** Threads that the file has from before. */
  readonly oldThreads?: number;
  /** Runs of each of these threads. */
  readonly runsPerThread?: number;
  /** The file of the last point, which is kept from one call of the benchmark to the next. */
  readonly keptFile?: string;
  /** Turns after which a client begins a new thread. By default, it stays on one thread. */
  readonly turnsPerThread?: number;
}

export type WorkloadName =
  | "load"
  | "steady"
  | "model-pace"
  | "http"
  | "http-connect"
  | "http-storm"
  | "http-slow"
  | "start"
  | "connect"
  | "folded"
  | "storage"
  | "reconnect"
  | "follow"
  | "threads"
  | "postgres"
  | "retention"
  | "memory"
  | "growth"
  | "micro";

export type Workload = (assignment: Assignment) => Promise<readonly Point[]>;
