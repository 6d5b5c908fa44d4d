import { latestPieces, MAX_SEARCHED_RUNS } from "../../../events/shared/latest-pieces.ts";
import { unpackPieces } from "../../../events/shared/pieces.ts";
import { type PlacesRow, placesOf } from "../../../events/shared/places.ts";
import { type LargeEvent, MIN_SHARED_LENGTH } from "../../../events/shared/repeating.ts";
import type {
  LatestValues,
  SharedThread,
  ThreadToShare,
  ValueState,
} from "../../../protocol/compactor-messages.ts";
import { bigintArray } from "../binary-arrays.ts";
import type { Compactor } from "../compactor.ts";
import type { Send } from "../connection.ts";
import type { Statements } from "../statements.ts";
import { toStored } from "../stored-ids.ts";
import { readChunks } from "./chunks.ts";

/** A run that is about to be stored, whole. */
export interface WholeRun {
  readonly threadId: string;
  readonly events: string;
  readonly large: readonly LargeEvent[];
  readonly input: string;
}

export interface SharingContext {
  readonly statements: Statements;
  readonly compactor: Compactor;
  /** The transaction that stores the runs. It has locked the rows of their threads. */
  readonly send: Send;
}

const NO_STATE: ValueState = { version: 0, lastLog: 0 };

/** Whether a run may have values that other runs of its thread have too. */
export function mayShare({ large, input }: WholeRun): boolean {
  return large.length > 0 || input.length >= MIN_SHARED_LENGTH;
}

/** Takes the values out of runs. By thread, in the order of `runs`. */
export async function shareValues(
  context: SharingContext,
  runs: readonly WholeRun[],
  threads: ReadonlyMap<string, { readonly values: ValueState }>,
): Promise<ReadonlyMap<string, SharedThread>> {
  const asked: ThreadToShare[] = [];
  for (const [threadId, own] of Map.groupBy(runs, (run) => run.threadId)) {
    const { version, lastLog } = threads.get(threadId)?.values ?? NO_STATE;
    const whole = own.map(({ events, large, input }) => ({ events, large, input }));
    asked.push({ threadId, version, lastLog, runs: whole, stored: null });
  }
  const shared = new Map<string, SharedThread>();
  let left: readonly ThreadToShare[] = asked;
  while (left.length > 0) {
    const answers = await context.compactor.share(left);
    const unknown: ThreadToShare[] = [];
    for (const [at, thread] of left.entries()) {
      const answer = answers[at] ?? null;
      if (answer === null) unknown.push(thread);
      else shared.set(thread.threadId, answer);
    }
    left = await Promise.all(
      unknown.map(async (thread) => ({
        ...thread,
        stored: await latestValues(context, thread.threadId),
      })),
    );
  }
  return shared;
}

async function latestValues(
  { send, statements }: SharingContext,
  threadId: string,
): Promise<LatestValues> {
  const id = toStored(threadId);
  const { rows } = await send(statements.latestPlaces, [id, MAX_SEARCHED_RUNS]);
  const values = Array.from(
    latestPieces((rows as PlacesRow[]).map(placesOf)),
    ([slot, { packed, cost }]) => ({
      ...{ slot, packed, cost },
    }),
  );
  const pieces = values.flatMap(({ packed }) => unpackPieces(packed));
  const spans = pieces.filter((piece) => typeof piece === "object");
  const logs = [...new Set(spans.map(({ log }) => log))];
  const [chunks, ends] = await Promise.all([
    readChunks(send, statements, [{ threadId, spans }]),
    send(statements.logEnds, [id, bigintArray(logs)]),
  ]);
  type End = { readonly log: number; readonly end_at: number | null };
  const logEnds = (ends.rows as End[]).flatMap(({ log, end_at: end }) =>
    end === null ? [] : [[log, end] as const],
  );
  return { values, chunks: chunks.get(threadId) ?? [], logEnds };
}
