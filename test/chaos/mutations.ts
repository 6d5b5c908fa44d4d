import type { Fault } from "../support/mutated-copy.ts";

/** A fault of the code, with the faults of a chaos run that bring it to light. */
export interface Mutation extends Fault {
  readonly only: string;
  /** Of seed 1, at most: they end with the first that breaks the rule. Which one does depends on the times. */
  readonly rounds: number;
  /** A rule that is broken then. A round on a busy machine may break another one first. */
  readonly rule: string;
}

const OPERATIONS = "src/store/postgres/operations.ts";
const STATEMENTS = "src/store/postgres/statements.ts";

/** What the code must not do, or once did. A run on PostgreSQL finds each. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: "a host that lost its thread still writes to it",
    file: OPERATIONS,
    find: "if (!isOurs || row.epoch !== op.epoch) {",
    replace: "if (row?.claim == null) {",
    only: "process-stopped",
    rounds: 20,
    rule: "lease-lost",
  },
  {
    name: "a commit whose answer was lost is not recognised",
    file: "src/runs/answers.ts",
    find: "return !needsThread || isStored() ? OK : LEASE_LOST;",
    replace: "return !needsThread ? OK : LEASE_LOST;",
    only: "answers-lost",
    rounds: 20,
    rule: "no-store-error",
  },
  {
    name: "threads are locked in any order",
    file: STATEMENTS,
    find: "ORDER BY thread_id FOR NO KEY UPDATE",
    replace: "ORDER BY random() FOR NO KEY UPDATE",
    only: "crowded-threads",
    rounds: 20,
    rule: "integrity",
  },
  {
    name: "a host that falls silent in a transaction keeps its locks for long",
    file: STATEMENTS,
    find: "ms', true),\n         set_config('enable_seqscan'",
    replace: "0ms', true),\n         set_config('enable_seqscan'",
    only: "connections-silent",
    rounds: 20,
    rule: "no-store-error",
  },
];
