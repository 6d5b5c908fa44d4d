import { digestsOf } from "../../../src/events/message-digests.ts";
import { slotHasMessages } from "../../../src/events/shared/take-out.ts";
import { parseEvents } from "../database/parse-events.ts";
import { ValueReader } from "../values/read-values.ts";
import { prepareSweepStatements, type SweepStatements } from "../values/statements.ts";
import { sweepThread } from "../values/sweep-values.ts";
import { prepareShortenStatements, type ShortenStatements } from "./purge-statements.ts";
import { count, type RemovalContext, ROWS } from "./remove-thread.ts";
import type { IsOver } from "./slices.ts";
import type { Counts } from "./tally.ts";

export interface ShorteningContext extends RemovalContext {
  readonly shortening: ShortenStatements & SweepStatements;
  readonly reader: ValueReader;
}

export function prepareShortening(context: RemovalContext): ShorteningContext {
  const { db, statements } = context;
  const shortening = { ...prepareShortenStatements(db), ...prepareSweepStatements(db) };
  return { ...context, shortening, reader: new ValueReader(statements) };
}

/**
 * Removes the oldest runs of a thread that stays. The ids of their messages stay known.
 *
 * No run may hold the thread. The epoch of the thread is raised, since every instance that remembers recent
 * runs of the thread has to read them again.
 */
export class ThreadShortening {
  readonly #context: ShorteningContext;
  readonly #threadId: string;
  readonly #upTo: number;
  #isShort = false;

  /** `upTo`: the row of the last run to remove. */
  constructor(context: ShorteningContext, threadId: string, upTo: number) {
    this.#context = context;
    this.#threadId = threadId;
    this.#upTo = upTo;
  }

  /** Goes on as far as the time goes. Returns whether the runs are removed. */
  goOn(isOver: IsOver, tally: Counts): boolean {
    if (!this.#isShort) {
      this.#isShort = this.#removeRuns(isOver, tally);
      if (!this.#isShort || isOver()) return false;
    }
    // What the removed runs alone have used. This reads where all other runs have their values.
    sweepThread(this.#context.shortening, this.#threadId);
    return true;
  }

  #removeRuns(isOver: IsOver, tally: Counts): boolean {
    const { removal, messages, shortening } = this.#context;
    const threadId = this.#threadId;
    const stale = shortening.threadState.get(threadId)?.messages_stale ?? 0;
    shortening.raiseEpoch.run(threadId);
    messages.forget(threadId);
    let removed = ROWS;
    do {
      if (stale === 0) this.#indexOldest();
      removed = count(tally, removal.deleteRuns.all(threadId, this.#upTo, ROWS));
    } while (removed === ROWS && !isOver());
    shortening.setMessagesStale.run(stale, threadId);
    return removed < ROWS;
  }

  /** Indexes the messages of the runs that the next statement deletes: so far they are in the rows alone. */
  #indexOldest(): void {
    const { statements, shortening, reader } = this.#context;
    const threadId = this.#threadId;
    const indexedUpTo = shortening.threadState.get(threadId)?.indexed_up_to ?? 0;
    if (indexedUpTo >= this.#upTo) return;
    let runs = 0;
    let last = indexedUpTo;
    const digests = new Map<string, number>();
    for (const row of statements.runsBehind.iterate(threadId, indexedUpTo)) {
      if (row.id > this.#upTo || runs === ROWS) break;
      const events = parseEvents(reader.eventsOf(row, slotHasMessages)) ?? [];
      for (const [id, digest] of digestsOf(events)) digests.set(id.toWellFormed(), digest);
      runs++;
      last = row.id;
    }
    if (digests.size > 0) {
      statements.insertMessages.run(threadId, JSON.stringify([...digests]));
    }
    statements.setIndexedUpTo.run(last, runs, threadId);
  }
}
