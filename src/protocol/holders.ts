import type { Scope } from "./scope.ts";

/*
 * Who holds what: the instances on a database, and the threads that their runs hold.
 */

export interface HoldersQuery {
  /** Only the run that holds this thread. Instances and journals are not told then. */
  readonly threadId?: string | undefined;
  /** Runs at most, from 1 to 500. Default 500. */
  readonly limit?: number | undefined;
}

export interface Holders {
  /** Empty for a call of one resource: it sees what is its own. */
  readonly instances: readonly RunnerInstance[];
  /** The longest held thread first. */
  readonly held: readonly HeldThread[];
  /** How many threads are held. */
  readonly heldTotal: number;
  /**
   * All journals, those included that are kept for a while for the followers of a run that has ended. Null where
   * instances are not told.
   */
  readonly journals: Journal | null;
}

/** A runner that has the database open. */
export interface RunnerInstance {
  readonly id: string;
  /** Whether it is the one that was asked. */
  readonly isOwn: boolean;
  /** False for one that was found dead. It is forgotten when its runs are ended. */
  readonly isAlive: boolean;
  /** Null on PostgreSQL, which does not note them. */
  readonly host: string | null;
  readonly pid: number | null;
  /** Milliseconds without a heartbeat after which it counts as dead. */
  readonly leaseMs: number;
  /** Its last heartbeat, in milliseconds since the epoch. */
  readonly seenAt: number;
  /** Threads that its runs hold. */
  readonly held: number;
}

export interface HeldThread {
  readonly threadId: string;
  readonly runId: string;
  /** 0 for a run of a version 1 runner. */
  readonly epoch: number;
  /** `RunnerInstance.id`. Null for a version 1 runner. */
  readonly instanceId: string | null;
  /** False if its instance is dead: the next claim or another instance ends the run. */
  readonly isAlive: boolean;
  /** Milliseconds since the epoch. On PostgreSQL, a request to stop the run sets it. */
  readonly claimedAt: number;
  /** Whether the run was asked to stop by another instance, and whether it then keeps nothing. */
  readonly stop: "none" | "asked" | "discard";
  /** Null where journals are not told. */
  readonly journal: Journal | null;
}

export interface Journal {
  /** Rows. Each has the events of one moment. */
  readonly segments: number;
  /** UTF-8 bytes of JSON. */
  readonly bytes: number;
}

export interface HoldersRequest {
  readonly threadId: string | null;
  readonly limit: number;
  readonly scope: Scope;
}

/** Whether instances and journals are told: to an operator, who does not ask about a thread. */
export function tellsInstances({ threadId, scope }: HoldersRequest): boolean {
  return threadId === null && (scope === "every" || scope.resourceId === null);
}
