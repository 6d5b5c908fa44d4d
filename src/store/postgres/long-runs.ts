import type { CompactedRun } from "../../protocol/compactor-messages.ts";
import type { CompactOp } from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import type { Journal } from "../../runs/compact-journal.ts";
import type { Compactor } from "./compactor.ts";
import type { Send } from "./connection.ts";
import { INPUT_SEQ, MAX_JOURNAL_LENGTH } from "./read-journal.ts";
import type { Statements } from "./statements.ts";
import { toStored } from "./stored-ids.ts";

/** How far a run was read ahead. */
interface Ahead {
  readonly segments: number;
  /** UTF-16 units of JSON. */
  readonly length: number;
}

const NOTHING: Ahead = { segments: 0, length: 0 };

/**
 * Ended runs that are too long to be read and compacted at once: that would delay all other runs. They are read
 * ahead in pieces. If a piece is lost, the run is read whole when it is stored.
 */
export class LongRuns {
  readonly #statements: Statements;
  readonly #compactor: Compactor;
  readonly #runs = new Map<string, Ahead>();

  constructor(statements: Statements, compactor: Compactor) {
    this.#statements = statements;
    this.#compactor = compactor;
  }

  /** Reads at least `length` more UTF-16 units of the journal of a run, or the rest of it. */
  async readAhead(send: Send, op: CompactOp): Promise<void> {
    const run = keyOf(op);
    const before = this.#runs.get(run) ?? NOTHING;
    this.#runs.delete(run);
    if (before.length + op.length > MAX_JOURNAL_LENGTH) return;
    const { segments: from } = before;
    const values = [toStored(op.threadId), op.epoch, from, op.length];
    const { rows } = await send(this.#statements.journalPiece, values);
    const bySeq = new Map<number, string>(rows.map(({ seq, events }) => [seq, events]));
    const input = bySeq.get(INPUT_SEQ) ?? null;
    const segments: string[] = [];
    let { length } = before;
    for (let next = bySeq.get(from); next !== undefined; next = bySeq.get(from + segments.length)) {
      segments.push(next);
      length += next.length;
    }
    const piece = { run, from, input, segments };
    const isOfUse = await this.#compactor.readAhead(piece).catch(() => false);
    if (isOfUse) this.#runs.set(run, { segments: from + segments.length, length });
  }

  /** A run begins. After a failover, it may have the epoch of a run that was lost. */
  forget(run: RunKey): void {
    this.#runs.delete(keyOf(run));
  }

  /** How many segments of a run were read ahead. */
  readOf(run: RunKey): number {
    return this.#runs.get(keyOf(run))?.segments ?? 0;
  }

  /** Compacts a run of which all but `rest` was read ahead. Null if it has to be read whole. */
  async finish(key: RunKey, rest: Journal): Promise<CompactedRun | null> {
    const run = keyOf(key);
    const from = this.readOf(key);
    this.#runs.delete(run);
    return this.#compactor.compactRest({ run, from, ...rest }).catch(() => null);
  }
}
