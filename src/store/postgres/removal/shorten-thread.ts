import type { PlacesRow } from "../../../events/shared/places.ts";
import type { LogRow } from "../../../protocol/compactor-messages.ts";
import { newVersion } from "../../../runs/shared-runs.ts";
import { bigintArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import { toStored } from "../stored-ids.ts";
import { isKnown } from "../thread-row.ts";
import { chunkValues, type StoredChunk } from "../values/chunks.ts";
import { type Counts, countRuns, lockThread, type RemovalContext, ROWS } from "./remove-thread.ts";

/**
 * Removes the oldest runs of a thread that stays, up to an epoch, as many as one transaction may. Their messages
 * stay known. Returns whether all are removed: then the values of the thread
 * are to be swept. A thread with a run is left alone.
 */
export async function shortenThread(
  context: RemovalContext,
  send: Send,
  { threadId, upTo }: { readonly threadId: string; readonly upTo: number },
  tally: Counts,
): Promise<boolean> {
  const { statements, instanceId } = context;
  const row = await lockThread(context, send, threadId);
  if (!isKnown(row) || row.claim !== null) return true;
  const id = toStored(threadId);
  await send(statements.keepMessages, [id, upTo, ROWS]);
  const { rows } = await send(statements.deleteRuns, [id, upTo, ROWS]);
  countRuns(tally, rows);
  if (rows.length === 0) return true;
  await send(statements.shortened, [id, rows.length, instanceId]);
  // What was derived from these runs is made again.
  await send(statements.deleteViews, [id]);
  await send(statements.resetFacts, [id]);
  await send(statements.forgetRunWords, [id]);
  await send(statements.forgetInterruptedUpTo, [id, upTo]);
  return rows.length < ROWS;
}

/**
 * Deletes the texts of a thread that none of its runs uses any more, in one transaction that has locked its row: a
 * run that was stored in between could use a text that is about to be deleted.
 */
export async function sweepThread(context: RemovalContext, threadId: string): Promise<void> {
  const { statements, slices, compactor } = context;
  const id = toStored(threadId);
  await slices.one(async (send) => {
    const thread = await lockThread(context, send, threadId);
    if (thread?.unfinished !== "sweep") return;
    const [places, rows] = await Promise.all([
      send(statements.placesOfThread, [id]),
      send(statements.logRows, [id]),
    ]);
    const sweep = await compactor.sweep({
      runs: places.rows as PlacesRow[],
      rows: rows.rows as LogRow[],
      maxGap: null,
    });
    const cut = sweep.filter(({ kept }) => kept.length > 0);
    const texts = cut.length === 0 ? [] : await readTexts(context, send, id, cut);
    if (sweep.length > 0) await send(statements.deleteChunks, [id, ...keysOf(sweep)]);
    const kept = cut.flatMap(({ log, at, kept: parts }): StoredChunk[] => {
      const text = texts.find((one) => one.log === log && one.at === at)?.text ?? "";
      return parts.map(({ from, to }) => ({
        ...{ threadId, log, at: at + from },
        text: text.slice(from, to),
      }));
    });
    if (kept.length > 0) await send(statements.addChunks, chunkValues(kept));
    await send(statements.swept, [id, newVersion()]);
  });
}

type Key = Pick<LogRow, "log" | "at">;

const keysOf = (rows: readonly Key[]) => [
  bigintArray(rows.map(({ log }) => log)),
  bigintArray(rows.map(({ at }) => at)),
];

async function readTexts(
  { statements }: RemovalContext,
  send: Send,
  id: string,
  keys: readonly Key[],
): Promise<readonly (Key & { readonly text: string })[]> {
  const { rows } = await send(statements.textsOf, [id, ...keysOf(keys)]);
  return rows as (Key & { readonly text: string })[];
}
