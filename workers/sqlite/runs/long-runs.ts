import { RunCompactor } from "../../../src/events/compact/compact.ts";
import type { EventLike } from "../../../src/events/event.ts";
import { MessageDigests } from "../../../src/events/message-digests.ts";
import { TakenOutOfRun } from "../../../src/events/shared/take-out.ts";
import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { stateOfInput } from "../../../src/runs/stored-run.ts";
import type { JournalIndex } from "../state/journal-index.ts";
import type { JournalStatements } from "../state/statements.ts";
import { PartLog } from "../values/part-log.ts";
import type { PartStatements, ValueStatements } from "../values/statements.ts";
import { type CompactedEvents, readJournal } from "./read-journal.ts";

type Statements = JournalStatements & ValueStatements & PartStatements;

/** Bytes of a journal that is not read whole. */
const LONG_JOURNAL = 4 * 1024 * 1024;

export function isLongJournal(statements: JournalStatements, ids: readonly number[]): boolean {
  const bytes = statements.bytesOfSegments.get(JSON.stringify(ids)) ?? 0;
  return bytes > LONG_JOURNAL;
}

/**
 * A run, compacted as far as its journal was read. What later events cannot change is kept as JSON, since the parsed
 * events would take several times the memory, and is stored in parts when it gets long.
 */
export class LongRun {
  readonly #statements: Statements;
  readonly #messages = new MessageDigests();
  readonly #taken = new TakenOutOfRun();
  readonly #parts: PartLog;
  #compactor: RunCompactor | null = null;
  /** How many rows of the journal were read. */
  #read = 0;
  /** UTF-16 units of JSON that were read. */
  #length = 0;
  #input: string | null = null;
  segments = 0;

  constructor(statements: Statements, run: RunKey) {
    this.#statements = statements;
    this.#parts = new PartLog(statements, run);
  }

  get input(): string | null {
    return this.#input;
  }

  /**
   * Reads the journal on, of which `ids` are the rows: until `segments` segments were read, but not much more than
   * `maxLength` UTF-16 units.
   */
  read(ids: readonly number[], segments: number, maxLength: number): void {
    const until = this.#length + maxLength;
    while (this.segments < segments && this.#length < until) {
      if (this.#readRow(ids) === null) return;
    }
  }

  /** Reads the rest of the journal. Yields its events when they are added. */
  *events(ids: readonly number[]): Generator<EventLike, void, undefined> {
    for (let events = this.#readRow(ids); events !== null; events = this.#readRow(ids)) {
      yield* events;
    }
  }

  /** Null at the end of the journal, or before a segment that cannot be read. */
  #readRow(ids: readonly number[]): readonly EventLike[] | null {
    if (this.#read >= ids.length) return null;
    const row = ids.slice(this.#read, this.#read + 1);
    const journal = readJournal(this.#statements, row, this.segments);
    if (journal.input !== null) this.#input = journal.input;
    else if (journal.segments === 0 && journal.start === null) return null;
    this.#read++;
    this.#length += journal.length;
    this.segments += journal.segments;
    this.add(journal.events);
    return journal.events;
  }

  add(events: readonly EventLike[]): void {
    // The rows before the first events have none. One of them is the input, from whose state deltas start.
    if (events.length === 0) return;
    this.#compactor ??= new RunCompactor(stateOfInput(this.#input));
    for (const event of events) {
      this.#compactor.add(event);
      this.#messages.observe(event);
    }
    this.#take(this.#compactor.takeSettled());
  }

  /** Throws if another program has deleted parts of the run. */
  finish(): CompactedEvents {
    this.#take(this.#compactor?.finish() ?? []);
    this.#parts.keep();
    return { taken: this.#taken.finish(), messages: this.#messages.entries() };
  }

  #take(events: readonly EventLike[]): void {
    this.#taken.add(events, (json) => this.#parts.append(json));
  }
}

/**
 * Runs that are too long to be read, compacted and stored in one transaction: that would delay all other runs, and
 * take several times their length in memory. They are compacted in pieces while they are in flight.
 *
 * This state may be lost, with the writer thread or by a rollback. Then it is made again from the journal, which
 * stays whole until the run is stored.
 */
export class LongRuns {
  readonly #statements: Statements;
  readonly #journals: JournalIndex;
  readonly #runs = new Map<string, LongRun>();

  constructor(statements: Statements, journals: JournalIndex) {
    this.#statements = statements;
    this.#journals = journals;
  }

  /** Reads the journal of a run on: see `LongRun.read`. */
  readAhead(key: RunKey, segments: number, maxLength: number): void {
    const name = keyOf(key);
    const run = this.#runs.get(name) ?? new LongRun(this.#statements, key);
    // If reading fails, the run is forgotten here, and read from its beginning the next time.
    this.#runs.delete(name);
    run.read(this.#journals.idsOf(key), segments, maxLength);
    this.#runs.set(name, run);
  }

  /** Removes and returns what was read ahead of a run, or null. Called wherever a run ends. */
  take(run: RunKey): LongRun | null {
    const key = keyOf(run);
    const known = this.#runs.get(key) ?? null;
    this.#runs.delete(key);
    return known;
  }

  /** Forgets everything: a rollback may have changed the journals and the parts. */
  reset(): void {
    this.#runs.clear();
  }
}
