import { joinPieces, unpackPieces } from "../events/shared/pieces.ts";
import { RememberedThreads } from "../events/shared/remembered-threads.ts";
import { spanReader } from "../events/shared/span-texts.ts";
import { type TakenOut, takeOutOfInput, takeOutOfText } from "../events/shared/take-out.ts";
import {
  type StoredThread,
  type StoredValue,
  ThreadValues,
} from "../events/shared/thread-values.ts";
import type {
  LatestValues,
  RunToShare,
  SharedRun,
  SharedThread,
  ThreadToShare,
} from "../protocol/compactor-messages.ts";

/** The `version` of a thread that has no values yet. */
export const NO_VALUES = 0;

class KnownThread {
  readonly values: ThreadValues;
  version: number;
  lastLog: number;

  constructor({ version, lastLog }: ThreadToShare, stored: StoredThread) {
    this.version = version;
    this.lastLog = lastLog;
    this.values = new ThreadValues(stored, () => ++this.lastLog);
  }
}

/**
 * Takes the values that repeat from run to run out of runs, and remembers the latest values of each thread.
 *
 * Any host may execute the next run of a thread. So each change of a thread's values gives it a version that no
 * other change ever has. The row of the thread holds the version, and is locked while a run is stored. What is
 * remembered counts only if it has that version: it has not when another host has stored a run, when the values
 * were swept, or when the transaction that was to store them was rolled back.
 */
export class SharedRuns {
  readonly #known = new RememberedThreads<KnownThread>();

  /** Null if the latest values of the thread are needed and not given. */
  share(thread: ThreadToShare): SharedThread | null {
    const { threadId, runs } = thread;
    const taken = runs.map(({ events, large, input }) => ({
      events: takeOutOfText(events, large),
      input: takeOutOfInput(input),
    }));
    if (taken.every(({ events, input }) => events.values.length + input.values.length === 0)) {
      return { runs: runs.map(asItIs), chunks: [], state: null };
    }
    const known = this.#take(thread);
    if (known === null) return null;
    const { values } = known;
    const shared = taken.map(
      ({ events, input }): SharedRun => ({
        events: events.rest,
        input: input.rest,
        sharedEvents: placesOf(values, events.values),
        sharedInput: placesOf(values, input.values),
      }),
    );
    known.version = newVersion();
    this.#known.put(threadId, known);
    const { version, lastLog } = known;
    return { runs: shared, chunks: values.takeChunks(), state: { version, lastLog } };
  }

  /** Removes a thread from the memory. Null if its latest values are needed and not given. */
  #take(thread: ThreadToShare): KnownThread | null {
    const known = this.#known.take(thread.threadId);
    if (thread.version === NO_VALUES) return new KnownThread(thread, NOTHING);
    if (known?.version === thread.version) return known;
    return thread.stored === null ? null : new KnownThread(thread, restore(thread.stored));
  }
}

const NOTHING: StoredThread = { latest: new Map(), logEnds: new Map() };

/** A value that cannot be read is left out. */
function restore({ values, chunks, logEnds }: LatestValues): StoredThread {
  const readSpan = spanReader(chunks);
  const latest = new Map<string, StoredValue>();
  for (const { slot, packed, cost } of values) {
    const pieces = unpackPieces(packed);
    const text = joinPieces(pieces, readSpan);
    if (text !== null) latest.set(slot, { text, pieces, cost });
  }
  return { latest, logEnds: new Map(logEnds) };
}

function placesOf(thread: ThreadValues, values: TakenOut["values"]): string | null {
  return values.length === 0 ? null : JSON.stringify(thread.putAll(values));
}

const asItIs = ({ events, input }: RunToShare): SharedRun => ({
  events,
  input,
  sharedEvents: null,
  sharedInput: null,
});

/** A whole number from 1 that is not drawn twice. PostgreSQL's int8 and JavaScript both hold it exactly. */
export function newVersion(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low || 1;
}
