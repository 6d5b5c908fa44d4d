import { START_SEQ } from "../../../src/protocol/messages.ts";
import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { expectChange } from "../database/fault.ts";
import { type JournalRows, JournalScan, keyOfRow } from "./journal-scan.ts";
import type { JournalStatements } from "./statements.ts";

/** With fewer dead rows than this, no search for deletable rows is made while runs are in flight. */
const MIN_DEAD = 1000;

/** Dead rows that one batch deletes at most while runs are in flight. */
const MAX_DELETED = 500;

/** `lastSeq` of a journal without rows: lower than every seq. */
const NO_SEQ = START_SEQ - 1;

/**
 * Which rows of `run_events` belong to which run of this instance, and which rows can be deleted.
 *
 * Rows stand in the file in the order in which they were written. So a batch changes few pages, however
 * many runs it has segments of.
 *
 * When a run ends, its rows are dead. They share pages with rows of other runs, and deleting them at
 * once would change all of those pages. So dead rows are deleted when the rows around them are dead
 * too: when they are older than every run in flight. When no run is in flight, they are deleted at
 * once.
 *
 * The index is read from the file when the first batch begins, and again after a rollback.
 */
export class JournalIndex {
  readonly #statements: JournalStatements;
  readonly #instanceId: string;
  /** By `keyOf` the run, in the order of each run's first row. Null until the file was read. */
  #live: Map<string, JournalRows> | null = null;
  /** Whether the file may hold rows of ended runs that are not in this index. */
  #hasOrphans = true;
  /** Row ids of ended runs that are not due for deletion yet. */
  #dead: number[] = [];
  /** Row ids that the next batches delete, oldest first. */
  #due: number[] = [];
  /** How many dead rows there must be before the next search for deletable rows. */
  #enough = MIN_DEAD;

  constructor(statements: JournalStatements, instanceId: string) {
    this.#statements = statements;
    this.#instanceId = instanceId;
  }

  /** Writes a segment, unless the run has it already because its batch is sent again. */
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

  /** The row ids of a run in flight. */
  idsOf(run: RunKey): readonly number[] {
    return this.#known().get(keyOf(run))?.ids ?? [];
  }

  /** Removes and returns the row ids of an ended run. The caller has the rows deleted or retained. */
  take(run: RunKey): number[] {
    const live = this.#known();
    const key = keyOf(run);
    const ids = live.get(key)?.ids ?? [];
    live.delete(key);
    return ids;
  }

  /** Forgets a run that the caller has ended. The caller deletes or retains the rows. */
  forget(run: RunKey): void {
    this.#live?.delete(keyOf(run));
  }

  /** Takes the row ids of an ended run, to be deleted now or later. */
  addDead(ids: readonly number[]): void {
    for (const id of ids) this.#dead.push(id);
  }

  /** Deletes the dead rows that are due. Called last in each batch. */
  sweep(): void {
    if (this.#hasOrphans) this.sweepOrphans();
    if (this.#dead.length === 0 && this.#due.length === 0) return;
    const live = this.#known();
    const isAll = live.size === 0;
    if (isAll || this.#dead.length >= this.#enough) this.#moveDue(live);
    if (this.#due.length === 0) return;
    const ids = this.#due.splice(0, isAll ? this.#due.length : MAX_DELETED);
    this.#statements.deleteSegments.run(JSON.stringify(ids));
  }

  /** Deletes the rows of all runs, of any process, that are neither in flight nor retained. */
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

  /** Reads the index from the file, unless it is known. Called before the batch ends any run. */
  load(): void {
    if (this.#live !== null) return;
    const own = new Set(this.#statements.runsOfOwner.all(this.#instanceId).map(keyOfRow));
    const journals = own.size === 0 ? [] : new JournalScan(this.#statements).journals();
    this.#live = new Map([...journals].filter(([key]) => own.has(key)));
  }

  #known(): Map<string, JournalRows> {
    if (this.#live === null) throw new Error("the journals were not loaded: call load() first");
    return this.#live;
  }

  /** Moves the dead rows that can be deleted from `#dead` to `#due`. */
  #moveDue(live: ReadonlyMap<string, JournalRows>): void {
    const [oldest] = live.values();
    const head = oldest?.ids[0] ?? Number.POSITIVE_INFINITY;
    const isOld = Map.groupBy(this.#dead, (id) => id < head);
    const old = isOld.get(true) ?? [];
    // A very long run in flight keeps all rows behind its first row: then delete all dead rows.
    const isPinned = old.length < this.#dead.length / 2;
    const due = isPinned ? this.#dead : old;
    this.#dead = isPinned ? [] : (isOld.get(false) ?? []);
    this.#enough = MIN_DEAD + 2 * this.#dead.length;
    this.#due = [...this.#due, ...due].sort((a, b) => a - b);
  }
}
