import { RunCompactor } from "../../../src/events/compact/compact.ts";
import type { EventLike } from "../../../src/events/event.ts";
import { MessageDigests } from "../../../src/events/message-digests.ts";
import { TakenOutOfRun } from "../../../src/events/shared/take-out.ts";
import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { stateOfInput } from "../../../src/runs/stored-run.ts";
import type { JournalIndex } from "../state/journal-index.ts";
import type { JournalStatements } from "../state/statements.ts";
import { type CompactedEvents, readJournal } from "./read-journal.ts";

/** An ended run, compacted as far as its journal was read. */
export class LongRun {
  readonly #statements: JournalStatements;
  readonly #ids: readonly number[];
  readonly #messages = new MessageDigests();
  /** What later events cannot change, as JSON: the parsed events would take several times the memory. */
  readonly #taken = new TakenOutOfRun();
  #compactor: RunCompactor | null = null;
  /** How many rows of the journal were read. */
  #read = 0;
  /** UTF-16 units of JSON that were read. */
  #length = 0;
  #input: string | null = null;
  segments = 0;

  constructor(statements: JournalStatements, ids: readonly number[]) {
    this.#statements = statements;
    this.#ids = ids;
  }

  get input(): string | null {
    return this.#input;
  }

  /** Reads at least `length` more UTF-16 units of the journal, or the rest of it. */
  read(length: number): void {
    const until = this.#length + length;
    while (this.#read < this.#ids.length && this.#length < until) {
      const ids = this.#ids.slice(this.#read, ++this.#read);
      const journal = readJournal(this.#statements, ids, {
        segments: this.segments,
        length: this.#length,
      });
      if (journal.input !== null) this.#input = journal.input;
      else if (journal.segments === 0 && journal.start === null) {
        // The run ends before a segment that cannot be read, or that would make the run too long.
        this.#read = this.#ids.length;
      }
      this.#length += journal.length;
      this.segments += journal.segments;
      this.add(journal.events);
    }
  }

  add(events: readonly EventLike[]): void {
    this.#compactor ??= new RunCompactor(stateOfInput(this.#input));
    for (const event of events) {
      this.#compactor.add(event);
      this.#messages.observe(event);
    }
    this.#taken.add(this.#compactor.takeSettled());
  }

  finish(): CompactedEvents {
    this.#taken.add(this.#compactor?.finish() ?? []);
    return { taken: this.#taken.finish(), messages: this.#messages.entries() };
  }
}

/**
 * Ended runs that are too long to be read and compacted in one transaction: that would delay all other
 * runs. They are read ahead in pieces, over several batches before the batch that stores them.
 *
 * This state may be lost, with the writer thread or by a rollback. Then the run is read whole when it is
 * stored.
 */
export class LongRuns {
  readonly #statements: JournalStatements;
  readonly #journals: JournalIndex;
  readonly #runs = new Map<string, LongRun>();

  constructor(statements: JournalStatements, journals: JournalIndex) {
    this.#statements = statements;
    this.#journals = journals;
  }

  /** Reads the next `length` UTF-16 units of the run's journal. */
  readAhead(key: RunKey, length: number): void {
    const name = keyOf(key);
    const run =
      this.#runs.get(name) ?? new LongRun(this.#statements, [...this.#journals.idsOf(key)]);
    // If reading fails, the run is forgotten here. It is then read whole when it is stored.
    this.#runs.delete(name);
    run.read(length);
    this.#runs.set(name, run);
  }

  /** Removes and returns a run that was read ahead, or null. */
  take(run: RunKey): LongRun | null {
    const key = keyOf(run);
    const known = this.#runs.get(key) ?? null;
    this.#runs.delete(key);
    return known;
  }

  /** Forgets everything: a rollback may have changed the journals. */
  reset(): void {
    this.#runs.clear();
  }
}
