import { RememberedThreads } from "../../../src/events/shared/remembered-threads.ts";
import type { TakenOut } from "../../../src/events/shared/take-out.ts";
import { ThreadValues } from "../../../src/events/shared/thread-values.ts";
import { expectChange } from "../database/fault.ts";
import { loadThread } from "./load-thread.ts";
import { ValueReader } from "./read-values.ts";
import type { PlacesRow, ValueStatements } from "./statements.ts";
import { storeChunks } from "./store-chunks.ts";
import { packPlaces } from "./stored-places.ts";

interface KnownThread {
  readonly values: ThreadValues;
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
  readonly #known = new RememberedThreads<KnownThread>();

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
      shared_events: packPlaces(thread.values.putAll(events.values)),
      shared_input: packPlaces(thread.values.putAll(input.values)),
    };
    storeChunks(this.#statements, thread.values.takeChunks());
    thread.lastRun = insertRun(places);
    this.#known.put(threadId, thread);
    return thread.lastRun;
  }

  /** Forgets everything that may have been rolled back. */
  reset(): void {
    this.#known.clear();
  }

  /** Removes a thread from the memory and returns it, or reads it from the file. */
  #threadOf(threadId: string): KnownThread {
    const lastRun = this.#statements.lastRunOfThread.get(threadId) ?? 0;
    const sweeps = this.#statements.valueSweeps.get(threadId) ?? 0;
    const known = this.#known.take(threadId);
    if (known?.lastRun === lastRun && known.sweeps === sweeps) return known;
    const stored = loadThread(this.#statements, this.#reader, threadId);
    const values = new ThreadValues(stored, () => this.#openLog(threadId));
    return { values, lastRun, sweeps };
  }

  #openLog(threadId: string): number {
    const log = this.#statements.insertLog.get(threadId);
    expectChange({ changes: log === undefined ? 0 : 1 }, "a log for values of a run");
    return log as number;
  }
}
