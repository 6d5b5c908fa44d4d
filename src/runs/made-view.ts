import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import { ReplayRepair } from "../events/repair/repair.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewMessage } from "../protocol/messages.ts";

/** UTF-16 units of the JSON of messages that the main thread parses in one task. */
const CHUNK_LENGTH = 64 * 1024;

/**
 * UTF-16 units of runs from which on a view is kept, if they are not fewer than those of the view itself.
 * Reading fewer again costs less than keeping the view.
 */
const MIN_KEPT_LENGTH = 128 * 1024;

/** Of the qualities that find the messages in the state again, the fastest. */
const PACKING = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

/** A view, as a backend answers with it. */
export type MadeView = Pick<ViewMessage, "rest" | "messages">;

/** The view that was kept, or undefined for what is no view: another program has written it. */
export function restoreView(packed: Uint8Array): ThreadView | undefined {
  try {
    return ThreadView.restore(JSON.parse(brotliDecompressSync(packed).toString()));
  } catch {
    return undefined;
  }
}

/** Adds stored runs to the view of a thread. */
export function addRuns(
  view: ThreadView,
  threadId: string,
  runs: Iterable<{ readonly runId: string; readonly events: readonly EventLike[] }>,
): void {
  const repair = new ReplayRepair(threadId, (event) => view.applyStored(event));
  for (const { runId, events } of runs) {
    repair.startRun(runId);
    for (const event of events) repair.next(event);
  }
  repair.endRun();
}

export function madeView(view: ThreadView): MadeView {
  const { messages: list, ...others } = view.toJSON();
  return { rest: JSON.stringify(others), messages: messageChunks(list) };
}

/** JSON arrays of messages, none of them much longer than what one task parses. */
export function messageChunks(messages: readonly unknown[]): readonly string[] {
  return chunksOf(
    messages.map((message) => JSON.stringify(message)),
    CHUNK_LENGTH,
  );
}

/** Whether a view is worth keeping that was made from `readLength` UTF-16 units of runs. */
export function isWorthKeeping({ rest, messages }: MadeView, readLength: number): boolean {
  const viewLength = messages.reduce((sum, { length }) => sum + length, rest.length);
  return readLength >= Math.max(MIN_KEPT_LENGTH, viewLength);
}

/**
 * The JSON of a view, compressed: see `restoreView`. Many agents have the messages in their state too. Brotli
 * notices that, while deflate looks back only 32 KiB.
 */
export function packView({ rest, messages }: MadeView): Uint8Array {
  const list = messages.map((chunk) => chunk.slice(1, -1)).filter((chunk) => chunk !== "");
  return brotliCompressSync(`{"messages":[${list.join(",")}],${rest.slice(1)}`, PACKING);
}
