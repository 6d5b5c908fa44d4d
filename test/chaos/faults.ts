import type { Expectations } from "./evidence.ts";
import type { Round } from "./round.ts";

/** A fault, and how a round causes it. */
export interface Fault<R extends Round = Round> {
  readonly name: string;
  readonly what: string;
  /** Returns when the fault has happened, and that was proved. */
  // A method: a fault of one store is a fault, though only rounds on that store can have it.
  run(round: R): Promise<void>;
  readonly expectations?: Expectations;
}

/** Where the rounds store their runs, and what can go wrong there. */
export interface ChaosStore<R extends Round = Round> {
  readonly name: string;
  readonly faults: readonly Fault<R>[];
  /** A round on an empty store, which `dispose` of the round removes. */
  openRound(seed: number, number: number, directory: string): Promise<R>;
}
