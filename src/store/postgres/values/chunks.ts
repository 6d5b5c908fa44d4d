import type { Span } from "../../../events/shared/pieces.ts";
import { spansByLog } from "../../../events/shared/span-texts.ts";
import type { Chunk } from "../../../events/shared/thread-values.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import type { Statements } from "../statements.ts";
import { fromStored, toStored } from "../stored-ids.ts";

/** What is read of the logs of a thread. */
export interface ThreadSpans {
  readonly threadId: string;
  /** The run that has the spans, unless the thread is locked: it may be removed meanwhile, and made again. */
  readonly epoch?: number;
  readonly spans: readonly Span[];
}

/**
 * By thread, the rows of logs that hold these spans, read at one moment. None of a thread of which no run is there any
 * more: another thread of the id may have logs of the same numbers.
 */
export async function readChunks(
  send: Send,
  statements: Statements,
  asked: readonly ThreadSpans[],
): Promise<ReadonlyMap<string, readonly Chunk[]>> {
  const byThread = Map.groupBy(asked, ({ threadId }) => threadId);
  const wanted = [...byThread].flatMap(([threadId, parts]) =>
    spansByLog(parts.flatMap(({ spans }) => spans)).map((span) => ({ threadId, ...span })),
  );
  const found = new Map<string, Chunk[]>();
  if (wanted.length === 0) return found;
  const read = send(statements.chunks, [
    textArray(wanted.map(({ threadId }) => toStored(threadId))),
    bigintArray(wanted.map(({ log }) => log)),
    bigintArray(wanted.map(({ from }) => from)),
    bigintArray(wanted.map(({ from, length }) => from + length)),
  ]);
  const [{ rows }, gone] = await Promise.all([read, threadsGone(send, statements, asked)]);
  type Row = Chunk & { readonly thread_id: string };
  for (const { thread_id, log, at, text } of rows as Row[]) {
    const threadId = fromStored(thread_id);
    if (gone.has(threadId)) continue;
    const chunks = found.get(threadId) ?? [];
    found.set(threadId, chunks);
    chunks.push({ log, at, text });
  }
  return found;
}

/** The threads of which no run is stored any more. A thread is made again only when all its runs are deleted. */
async function threadsGone(
  send: Send,
  statements: Statements,
  asked: readonly ThreadSpans[],
): Promise<ReadonlySet<string>> {
  const runs = asked.flatMap(({ threadId, epoch, spans }) =>
    epoch === undefined || spans.length === 0 ? [] : [{ threadId, epoch }],
  );
  const threads = new Set(runs.map(({ threadId }) => threadId));
  if (runs.length === 0) return threads;
  const { rows } = await send(statements.runsKnown, [
    textArray(runs.map(({ threadId }) => toStored(threadId))),
    bigintArray(runs.map(({ epoch }) => epoch)),
  ]);
  for (const { thread_id } of rows) threads.delete(fromStored(thread_id));
  return threads;
}

/** A row of a log, as it is stored. */
export interface StoredChunk extends Chunk {
  readonly threadId: string;
}

/** The parameters of `addChunks`. */
export function chunkValues(chunks: readonly StoredChunk[]): readonly Buffer[] {
  return [
    textArray(chunks.map(({ threadId }) => toStored(threadId))),
    bigintArray(chunks.map(({ log }) => log)),
    bigintArray(chunks.map(({ at }) => at)),
    bigintArray(chunks.map(({ text }) => text.length)),
    textArray(chunks.map(({ text }) => text)),
  ];
}
