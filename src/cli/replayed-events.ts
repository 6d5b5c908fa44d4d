import { EventEmitter, once } from "node:events";
import type { EventLike, StoreAgentRunner } from "../index.ts";
import { CommandFailure, EXIT } from "./failure.ts";

/**
 * The events that a client gets that connects to the thread. `signal` ends it with its reason.
 *
 * @throws {CommandFailure} the thread cannot be read.
 */
export async function* replayedEvents(
  runner: StoreAgentRunner,
  threadId: string,
  signal: AbortSignal,
): AsyncGenerator<EventLike, void, undefined> {
  const arrived = new EventEmitter();
  let waiting: EventLike[] = [];
  let isOver = false;
  let hasBegun = false;
  const tell = () => void arrived.emit("more");
  const subscription = runner.connect({ threadId }).subscribe({
    next(event) {
      waiting.push(event);
      tell();
    },
    complete() {
      isOver = true;
      tell();
    },
  });
  try {
    while (!isOver || waiting.length > 0) {
      if (waiting.length === 0) await once(arrived, "more", { signal }).catch(() => undefined);
      signal.throwIfAborted();
      const events = waiting;
      waiting = [];
      for (const event of events) {
        // An error before any run says that the thread cannot be read.
        if (event.type === "RUN_ERROR" && !hasBegun) {
          throw new CommandFailure(EXIT.failed, `${event.message} (${event.code})`);
        }
        hasBegun = true;
        yield event;
      }
    }
  } finally {
    subscription.unsubscribe();
  }
}
