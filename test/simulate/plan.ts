import type { OnConcurrentRun } from "../../src/runner/options.ts";

/** What an agent does when it is run. */
export interface AgentPlan {
  /** How many pieces of text it emits. */
  readonly pieces: number;
  readonly gapMs: number;
  readonly ending: "finishes" | "throws" | "says nothing more" | "waits to be aborted";
  /** It goes on when it is told to abort. */
  readonly isDeaf: boolean;
}

/** What calls of a backend meet for a while. */
export type Trouble =
  /** The answer comes later than it was made. */
  | "slow"
  /** The call comes to the database later. */
  | "late"
  /** Done, and its answer is an error. */
  | "lost"
  /** Not done. */
  | "fails";

export type Call = "commit" | "read" | "look" | "sync" | "notice";

type At = { readonly at: number; readonly on: number };

/** Something that a client or a fault does. `on` is the place of a process. */
export type Action =
  | (At & {
      readonly kind: "run";
      readonly threadId: string;
      readonly runId: string;
      readonly agent: AgentPlan;
    })
  | (At & { readonly kind: "stop"; readonly threadId: string; readonly runId: string | null })
  | (At & {
      readonly kind: "connect";
      readonly threadId: string;
      readonly leavesAfter: number | null;
    })
  | (At & { readonly kind: "ask"; readonly threadId: string })
  /** `isSeen`: the kernel tells the others that the process is gone. */
  | (At & { readonly kind: "kill"; readonly isSeen: boolean; readonly restartAfterMs: number })
  | (At & { readonly kind: "pause"; readonly ms: number })
  | (At & { readonly kind: "close"; readonly restartAfterMs: number })
  | (At & {
      readonly kind: "trouble";
      readonly call: Call;
      readonly how: Trouble;
      readonly ms: number;
      readonly byMs: number;
      /** So many calls meet it. */
      readonly calls: number;
    })
  /** Nobody can write: the disk is full, or another program has locked it. */
  | (At & { readonly kind: "outage"; readonly ms: number })
  /** The thread that writes ends, and no other one opens the database for a while. */
  | (At & { readonly kind: "writer death"; readonly ms: number })
  /** What this process finishes on the thread cannot be stored for a while, and that is no matter of time. */
  | (At & { readonly kind: "unstorable"; readonly threadId: string; readonly ms: number })
  /** A restored backup lacks the row of a process that holds no thread. */
  | (At & { readonly kind: "lost row" });

export interface ProcessPlan {
  readonly onConcurrentRun: OnConcurrentRun;
  readonly lingerMs: number;
  /** Few, so that several batches are under way. */
  readonly maxBatchBytes: number;
  /** When it opens the database, or null: with its first call. */
  readonly opensAt: number | null;
}

export interface Plan {
  readonly processes: readonly ProcessPlan[];
  readonly actions: readonly Action[];
}

/** Short beside what agents and faults take: whatever can outlast it does so often. */
export const LEASE_MS = 600;
export const STOP_TIMEOUT_MS = 300;

/** An action in words. */
export function describeAction({ at: _, on, kind, ...rest }: Action): string {
  const { agent, ...fields } = rest as { agent?: AgentPlan };
  const words = Object.entries({ ...fields, ...agent }).map(([name, value]) => `${name} ${value}`);
  return `${kind} on ${on}: ${words.join(", ")}`;
}
