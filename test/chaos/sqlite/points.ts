import { keyOf } from "../../../src/protocol/run-key.ts";
import type { BatchRuns } from "../log.ts";
import type { Point } from "./orders.ts";

/*
 * How a point is recognized. If a statement is renamed, its point is never reached, and the round that
 * waits for it fails.
 */
const BEGIN = /^\s*BEGIN IMMEDIATE/;
const COMMIT = /^\s*COMMIT/;
const CLAIM = /INSERT INTO run_state[\s\S]*RETURNING epoch/;
/** The claim of a thread that the instance held last. */
const CLAIM_AGAIN = /UPDATE run_state SET is_running = 1/;
const APPEND = /INSERT INTO run_events/;
const FINISH = /INSERT INTO agent_runs/;
const MIGRATION = /ALTER TABLE/;
const PAGE = /FROM agent_runs\s+WHERE thread_id = \? AND id > \? AND id <= \?/;

type Parameters = readonly unknown[];

/** Follows the statements of a connection, and says which points each of them is. */
export class PointFinder {
  #batch: { claim: string[]; append: string[]; finish: string[] } = emptyBatch();

  /** The runs in the current transaction, or in the last one. */
  get batch(): BatchRuns {
    return this.#batch;
  }

  /** Whether the statement is any point at all. */
  static isPoint(sql: string): boolean {
    return [BEGIN, COMMIT, CLAIM, CLAIM_AGAIN, APPEND, FINISH, MIGRATION, PAGE].some((known) =>
      known.test(sql),
    );
  }

  /** The points that the statement is when it is executed. */
  find(sql: string, parameters: Parameters): readonly Point[] {
    const batch = this.#batch;
    if (BEGIN.test(sql)) {
      this.#batch = emptyBatch();
      return ["begin"];
    }
    if (COMMIT.test(sql)) {
      const points: Point[] = ["commit"];
      if (batch.claim.length > 0) points.push("commit-claim");
      if (batch.append.length > 0) points.push("commit-append");
      if (batch.finish.length > 0) points.push("commit-finish");
      return points;
    }
    if (MIGRATION.test(sql)) return ["migration"];
    if (PAGE.test(sql)) return ["page"];
    if (CLAIM.test(sql)) {
      batch.claim.push(String(parameters[1]));
      return ["claim"];
    }
    if (CLAIM_AGAIN.test(sql)) {
      batch.claim.push(String(parameters[0]));
      return ["claim"];
    }
    if (APPEND.test(sql)) {
      batch.append.push(keyOf({ threadId: String(parameters[0]), epoch: Number(parameters[1]) }));
      return ["append"];
    }
    const interrupted = parameters.some((value) => String(value).includes('"RUN_INTERRUPTED"'));
    if (interrupted) return ["recovery"];
    batch.finish.push(keyOf({ threadId: String(parameters[0]), epoch: Number(parameters.at(-1)) }));
    return ["finish"];
  }
}

function emptyBatch(): { claim: string[]; append: string[]; finish: string[] } {
  return { claim: [], append: [], finish: [] };
}
