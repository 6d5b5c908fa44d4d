import type { EventLike } from "../../src/events/event.ts";
import type { MemoryDatabase, Thread } from "../support/memory-database.ts";
import type { ProcessPlan } from "./plan.ts";

/** One process, from its start to its end. One that takes its place is another one. */
export interface ProcessRecord extends ProcessPlan {
  readonly name: string;
  readonly place: number;
  killedAt: number | null;
  closingAt: number | null;
  /** When others could rightly take it for dead: it slept, or it alone could not write. */
  readonly silences: { readonly from: number; readonly until: number }[];
  /** Runs of which its logger was told that they could not be stored. */
  readonly losses: { readonly threadId: string; readonly runId: string }[];
}

/** One request for a run. */
export interface RunRecord {
  /** Counts the requests. Its events carry it. */
  readonly number: number;
  readonly process: ProcessRecord;
  readonly threadId: string;
  readonly runId: string;
  readonly requestedAt: number;
  agentStartedAt: number | null;
  /** The place of its agent's start among those of all agents. */
  startOrder: number | null;
  /** When its agent ended by itself, or its client saw the end of it. */
  endedAt: number | null;
  abortedAt: number | null;
  /** Everything that its client saw. */
  readonly saw: EventLike[];
  completedAt: number | null;
  /** What `run` threw. */
  thrown: string | null;
}

export interface ConnectRecord {
  readonly process: ProcessRecord;
  readonly threadId: string;
  readonly startedAt: number;
  readonly events: EventLike[];
  completedAt: number | null;
  /** The client went before the end. */
  hasLeft: boolean;
  /** It is one of those at the very end, when all is over. */
  readonly isLast: boolean;
}

/** When reads or writes may fail, or stand still, in a place or (null) everywhere. */
export interface TroubleRecord {
  readonly on: number | null;
  readonly from: number;
  readonly until: number;
  /** What fails is not tried again. */
  readonly isForGood?: boolean;
}

export interface StopRecord {
  readonly threadId: string;
  readonly runId: string | null;
  readonly at: number;
}

export type ClaimRecord = Pick<NonNullable<Thread["holder"]>, "ownerId" | "claimNumber">;

/** A claim that took a thread, and the claim that held the thread before, or null. */
export interface TakenRecord {
  readonly threadId: string;
  readonly epoch: number;
  readonly by: ClaimRecord;
  readonly from: ClaimRecord | null;
}

/** What came of a schedule. */
export interface Facts {
  readonly database: MemoryDatabase;
  readonly processes: readonly ProcessRecord[];
  readonly runs: readonly RunRecord[];
  readonly connects: readonly ConnectRecord[];
  readonly stops: readonly StopRecord[];
  readonly taken: readonly TakenRecord[];
  readonly troubles: readonly TroubleRecord[];
  /** Calls that were never answered. */
  readonly unanswered: readonly string[];
  /** Threads that were held when all was over, and threads that were said to run. */
  readonly held: readonly string[];
  readonly uncaught: readonly unknown[];
  /** One line for everything that happened, if it was asked for. */
  readonly timeline: readonly string[];
}

export interface Violation {
  readonly rule: string;
  readonly seen: string;
}

export type Report = (rule: string, seen: string) => void;
