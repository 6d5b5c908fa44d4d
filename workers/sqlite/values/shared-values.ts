import { packPieces } from "../../../src/events/shared/pieces.ts";
import type { Place } from "../../../src/events/shared/put-back.ts";
import type { TakenOut, TakenValue } from "../../../src/events/shared/take-out.ts";
import { ThreadValues } from "../../../src/events/shared/thread-values.ts";
import { expectChange } from "../database/fault.ts";
import { loadThread } from "./load-thread.ts";
import { ValueReader } from "./read-values.ts";
import type { PlacesRow, ValueStatements } from "./statements.ts";
import { storeChunks } from "./store-chunks.ts";
import { packPlaces } from "./stored-places.ts";

/** UTF-16 units of values that are remembered at most, for all threads together. */
const MAX_REMEMBERED = 32 * 1024 * 1024;

interface KnownThread {
  readonly values: ThreadValues;
  /** `values.size` at the last count. */
  size: number;
  /** The last row of the thread in `agent_runs`. */
  lastRun: number;
  /** `threads.value_sweeps`. */
  readonly sweeps: number;
}

/**
 * Stores the values that repeat from run to run, and remembers the latest values of each thread.
 *
 * The memory of a thread is correct while no other instance has stored a run of the thread or deleted
 * values of it. The last row and the number of sweeps show that. Both are read before a run is stored,
 * because another instance may have written since.
 */
export class SharedValues {
  readonly #statements: ValueStatements;
  readonly #reader: ValueReader;
  /** The least recently used thread comes first. */
  readonly #known = new Map<string, KnownThread>();
  #size = 0;

  constructor(statements: ValueStatements) {
    this.#statements = statements;
    this.#reader = new ValueReader(statements);
  }

  /**
   * Stores the values of a run that is about to be stored, and returns their places. `insertRun` stores the
   * run and returns the id of its row.
   */
  store(
    threadId: string,
    { events, input }: { readonly events: TakenOut; readonly input: TakenOut },
    insertRun: (places: PlacesRow) => number,
  ): number {
    const hasValues = events.values.length > 0 || input.values.length > 0;
    if (!hasValues && !this.#known.has(threadId)) {
      return insertRun({ shared_events: null, shared_input: null });
    }
    const thread = this.#threadOf(threadId);
    const places = {
      shared_events: packPlaces(placesOfValues(thread.values, events.values)),
      shared_input: packPlaces(placesOfValues(thread.values, input.values)),
    };
    storeChunks(this.#statements, thread.values.takeChunks());
    thread.lastRun = insertRun(places);
    this.#remember(threadId, thread);
    return thread.lastRun;
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#known.clear();
    this.#size = 0;
  }

  /** Removes a thread from the memory and returns it, or reads it from the file. */
  #threadOf(threadId: string): KnownThread {
    const lastRun = this.#statements.lastRunOfThread.get(threadId) ?? 0;
    const sweeps = this.#statements.valueSweeps.get(threadId) ?? 0;
    const known = this.#known.get(threadId);
    this.#forget(threadId);
    if (known?.lastRun === lastRun && known.sweeps === sweeps) return known;
    const stored = loadThread(this.#statements, this.#reader, threadId);
    const values = new ThreadValues(stored, () => this.#openLog(threadId));
    return { values, size: 0, lastRun, sweeps };
  }

  #remember(threadId: string, thread: KnownThread): void {
    thread.size = thread.values.size;
    this.#size += thread.size;
    this.#known.set(threadId, thread);
    for (const oldest of this.#known.keys()) {
      if (this.#size <= MAX_REMEMBERED || oldest === threadId) return;
      this.#forget(oldest);
    }
  }

  #forget(threadId: string): void {
    this.#size -= this.#known.get(threadId)?.size ?? 0;
    this.#known.delete(threadId);
  }

  #openLog(threadId: string): number {
    const log = this.#statements.insertLog.get(threadId);
    expectChange({ changes: log === undefined ? 0 : 1 }, "a log for values of a run");
    return log as number;
  }
}

/** The places of values that are to be stored. */
function placesOfValues(thread: ThreadValues, values: readonly TakenValue[]): readonly Place[] {
  return values.map(({ slot, index, text }) => {
    return [slot, index, packPieces(thread.put(slot, text))];
  });
}
