import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { expectChange } from "../database/fault.ts";
import { type JournalRows, JournalScan, keyOfRow } from "./journal-scan.ts";
import type { JournalStatements } from "./statements.ts";

/** Rows of ended runs are looked through when there are so many more of them, */
const MIN_DEAD = 1000;
/** and deleted so many in a batch. */
const MAX_DELETED = 500;

/** What a new journal begins with: the input's seq is -1. */
const NO_SEQ = -2;

/**
 * The journals of this instance's runs.
 *
 * Segments stand in the file in the order in which they came, so that a batch changes few pages
 * however many runs it is of. A run that ends leaves its rows on pages of others: deleting them at
 * once would change all of those. So its rows are dead, and go when those around them are dead, too:
 * when they are older than all of the runs in flight; or at once when there is no run in flight.
 *
 * What is known here is what the file says: read when the first batch begins, and again after a
 * transaction was rolled back.
 */
export class JournalIndex {
  readonly #statements: JournalStatements;
  readonly #instanceId: string;
  /** By `keyOf` the run, the one with the oldest first segment first. Null when it is not known. */
  #live: Map<string, JournalRows> | null = null;
  /** Whether the file may hold rows of ended runs that are not known here. */
  #hasOrphans = true;
  #dead: number[] = [];
  /** Dead rows that are to be deleted now, oldest first. */
  #due: number[] = [];
  #enough = MIN_DEAD;

  constructor(statements: JournalStatements, instanceId: string) {
    this.#statements = statements;
    this.#instanceId = instanceId;
  }

  /** Adds a segment, unless the run has it already: its batch may be sent again. */
  append(run: RunKey, seq: number, events: string): void {
    const live = this.#known();
    const key = keyOf(run);
    const journal = live.get(key) ?? { ids: [], lastSeq: NO_SEQ };
    if (seq <= journal.lastSeq) return;
    const { threadId, epoch } = run;
    const inserted = this.#statements.insertSegment.run(threadId, epoch, seq, events);
    expectChange(inserted, "a segment of the journal");
    journal.ids.push(Number(inserted.lastInsertRowid));
    journal.lastSeq = seq;
    live.set(key, journal);
  }

  /** The rows of a run. */
  idsOf(run: RunKey): readonly number[] {
    return this.#known().get(keyOf(run))?.ids ?? [];
  }

  /** The rows of a run that has ended: they are the caller's now. */
  take(run: RunKey): number[] {
    const live = this.#known();
    const key = keyOf(run);
    const ids = live.get(key)?.ids ?? [];
    live.delete(key);
    return ids;
  }

  /** Someone else has ended the run, and deals with its rows. */
  forget(run: RunKey): void {
    this.#live?.delete(keyOf(run));
  }

  /** Has rows deleted that were taken, now or later. */
  bury(ids: readonly number[]): void {
    for (const id of ids) this.#dead.push(id);
  }

  /** Deletes what is dead, as far as it is time. The last thing a batch does. */
  sweep(): void {
    if (this.#hasOrphans) this.sweepOrphans();
    if (this.#dead.length === 0 && this.#due.length === 0) return;
    const live = this.#known();
    const isAll = live.size === 0;
    if (isAll || this.#dead.length >= this.#enough) this.#condemn(live);
    if (this.#due.length === 0) return;
    const ids = this.#due.splice(0, isAll ? this.#due.length : MAX_DELETED);
    this.#statements.deleteSegments.run(JSON.stringify(ids));
  }

  /** Deletes what is nobody's: rows of ended runs whose process died, or whom nobody here knows. */
  sweepOrphans(): void {
    this.#statements.deleteOrphanedSegments.run();
    this.#dead = [];
    this.#due = [];
    this.#hasOrphans = false;
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#live = null;
    this.#dead = [];
    this.#due = [];
    this.#enough = MIN_DEAD;
    this.#hasOrphans = true;
  }

  /** Reads what is in the file, if it is not known: before any run of the batch has ended. */
  load(): void {
    if (this.#live !== null) return;
    const own = new Set(this.#statements.runsOfOwner.all(this.#instanceId).map(keyOfRow));
    const journals = own.size === 0 ? [] : new JournalScan(this.#statements).journals();
    this.#live = new Map([...journals].filter(([key]) => own.has(key)));
  }

  #known(): Map<string, JournalRows> {
    if (this.#live === null) throw new Error("journals were not loaded");
    return this.#live;
  }

  /** Decides which of the dead go. */
  #condemn(live: ReadonlyMap<string, JournalRows>): void {
    const [oldest] = live.values();
    const head = oldest?.ids[0] ?? Number.POSITIVE_INFINITY;
    const isOld = Map.groupBy(this.#dead, (id) => id < head);
    const old = isOld.get(true) ?? [];
    // A run that takes very long keeps all behind its first segment from getting old.
    const isPinned = old.length < this.#dead.length / 2;
    const due = isPinned ? this.#dead : old;
    this.#dead = isPinned ? [] : (isOld.get(false) ?? []);
    this.#enough = MIN_DEAD + 2 * this.#dead.length;
    this.#due = [...this.#due, ...due].sort((a, b) => a - b);
  }
}
