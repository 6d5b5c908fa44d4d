import type { PeerName } from "../peers/peers.ts";

/** The task of one of the processes of the trial `postgres`. */
export interface LoadAssignment {
  readonly peer: PeerName;
  /** Of the database. */
  readonly url: string;
  readonly threads: number;
  readonly eventsPerRun: number;
}

/** What the process is told to do. */
export interface LoadPhase {
  readonly name: string;
  readonly seconds: number;
}

export interface LoadAnswer {
  readonly runs: number;
  readonly seconds: number;
  /** Microseconds of processor time of the main thread. */
  readonly mainUs: number;
}

/** Work that goes on until `isOver`, and its end. `run` resolves with the number of runs. */
export interface Load {
  run(name: string, isOver: () => boolean): Promise<number>;
  close(): Promise<void>;
}
