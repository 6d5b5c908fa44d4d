import { AsyncLocalStorage } from "node:async_hooks";
import type { EventLike } from "../events/event.ts";
import { shownEvent } from "./thread-shapes.ts";

/** Characters of JSON after which a piece of the body is sent. */
const PIECE_CHARS = 64 * 1024;

/**
 * `{"events":[...]}` as a stream: a long history is never in memory as a whole. It is read as fast as the
 * client takes it.
 *
 * The body is read after the request was answered, outside the context of the call. So each step is taken
 * back into that context, which says whose threads are read.
 */
export function eventsBody(events: AsyncGenerator<EventLike>): ReadableStream<Uint8Array> {
  const inContext = AsyncLocalStorage.snapshot();
  const encoder = new TextEncoder();
  let separator = '{"events":[';

  const readPiece = async (): Promise<{ piece: string; done: boolean }> => {
    let piece = "";
    while (piece.length < PIECE_CHARS) {
      const next = await events.next();
      if (next.done === true) {
        const start = separator === "," ? "" : separator;
        return { piece: `${piece}${start}]}`, done: true };
      }
      piece += separator + JSON.stringify(shownEvent(next.value));
      separator = ",";
    }
    return { piece, done: false };
  };

  return new ReadableStream({
    async pull(controller) {
      const { piece, done } = await inContext(readPiece);
      controller.enqueue(encoder.encode(piece));
      if (done) controller.close();
    },
    async cancel() {
      await inContext(() => events.return(undefined));
    },
  });
}
