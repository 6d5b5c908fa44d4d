import type { PackedPieces } from "../../../src/events/shared/pieces.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { expectChange } from "../database/fault.ts";
import type { PartStatements, ValueStatements } from "./statements.ts";
import { storeChunks } from "./store-chunks.ts";

/**
 * The log with the parts of a long run that are stored before the run is: see `StoredPart`.
 *
 * No row refers to the log while its run is in flight. So the log has the epoch of the run until the run is stored,
 * and sweeps leave it alone. If the run is never stored, or with another log, `UnfinishedLogs` deletes it.
 */
export class PartLog {
  readonly #statements: ValueStatements & PartStatements;
  readonly #run: RunKey;
  #log: number | null = null;
  #end = 0;

  constructor(statements: ValueStatements & PartStatements, run: RunKey) {
    this.#statements = statements;
    this.#run = run;
  }

  /** Stores events, given as JSON with commas between them. Throws if another program has deleted the last part. */
  append(json: string): PackedPieces {
    const { endOfLog } = this.#statements;
    const from = this.#end;
    // Parts that were appended to a log without a row would never be swept, nor erased.
    if (this.#log !== null) this.#expectAll(endOfLog.get(this.#log, this.#log, this.#run.threadId));
    this.#log ??= this.#open();
    const log = this.#log;
    storeChunks(this.#statements, [{ log, at: from, text: json }]);
    this.#end += json.length;
    return [log, from, json.length];
  }

  /**
   * The run is about to be stored: from now on its row keeps the log. Throws if another program has deleted parts.
   */
  keep(): void {
    const log = this.#log;
    if (log === null) return;
    this.#expectAll(this.#statements.lengthOfPartLog.get(log, this.#run.threadId));
    const kept = this.#statements.keepPartLog.run(log, this.#run.epoch);
    expectChange(kept, "the log with the parts of a run");
  }

  #expectAll(length: number | null | undefined): void {
    if (length !== this.#end) throw new Error("another program has deleted parts of a run");
  }

  #open(): number {
    const { threadId, epoch } = this.#run;
    const log = this.#statements.insertPartLog.get(threadId, epoch);
    expectChange({ changes: log === undefined ? 0 : 1 }, "a log for parts of a run");
    return log as number;
  }
}
