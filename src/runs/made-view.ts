import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import { ReplayRepair } from "../events/repair/repair.ts";
import type { Message } from "../events/view/message.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewMessage } from "../protocol/messages.ts";
import type { ViewChunk, ViewJson } from "./packed-view.ts";

/** UTF-16 units of the JSON of messages that the main thread parses in one task. */
const CHUNK_LENGTH = 64 * 1024;

/** UTF-16 units of runs from which on a view is kept. Reading fewer again costs less than keeping the view. */
const MIN_KEPT_LENGTH = 128 * 1024;

/** A view that was kept, with its chunks. */
export interface RestoredView {
  readonly view: ThreadView;
  readonly chunks: readonly ParsedChunk[];
}

interface ParsedChunk extends ViewChunk {
  readonly messages: readonly Message[];
}

/** The view that was kept, or undefined for what is no view. */
export function restoreView({ rest, chunks: unparsed }: ViewJson): RestoredView | undefined {
  try {
    const chunks = unparsed.map((chunk) => ({ ...chunk, messages: JSON.parse(chunk.json) }));
    const messages = chunks.flatMap((chunk) => chunk.messages);
    const view = ThreadView.restore({ ...JSON.parse(rest), messages });
    return view === undefined ? undefined : { view, chunks };
  } catch {
    return undefined;
  }
}

/** Adds stored runs to the view of a thread. */
export function addRuns(
  view: ThreadView,
  threadId: string,
  runs: Iterable<{ readonly runId: string; readonly events: Iterable<EventLike> }>,
): void {
  const repair = new ReplayRepair(threadId, (event) => view.applyStored(event));
  for (const { runId, events } of runs) {
    repair.startRun(runId);
    for (const event of events) repair.next(event);
  }
  repair.endRun();
}

/**
 * A view as JSON. `from` has the chunks that it was restored from: those are taken as they are whose messages
 * are still the same. So the cost of the JSON grows with what was changed.
 */
export function jsonOfView(view: ThreadView, from: readonly ParsedChunk[] = []): ViewJson {
  const { messages, ...others } = view.toJSON();
  return { rest: JSON.stringify(others), chunks: chunksOfMessages(messages, from) };
}

/** A view without the messages with which `before` begins as well: those are the same objects. */
export function newMessages(
  view: ThreadView,
  before: readonly Message[],
): Pick<ViewMessage, "rest" | "messages" | "same"> {
  const { messages, ...others } = view.toJSON();
  const differs = before.findIndex((message, at) => message !== messages[at]);
  const count = differs < 0 ? before.length : differs;
  return {
    rest: JSON.stringify(others),
    messages: messageChunks(messages.slice(count)),
    same: { count, of: before.length },
  };
}

/** JSON arrays of messages, none of them much longer than what one task parses. */
export function messageChunks(messages: readonly unknown[]): readonly string[] {
  return chunksOf(
    messages.map((message) => JSON.stringify(message)),
    CHUNK_LENGTH,
  );
}

function chunksOfMessages(
  messages: readonly Message[],
  from: readonly ParsedChunk[],
): readonly ViewChunk[] {
  // Short chunks are made anew, with the messages behind them: there would be ever more of them.
  const long = from.filter(({ json }) => json.length >= CHUNK_LENGTH / 2);
  const byFirst = new Map(long.map((chunk) => [chunk.messages[0], chunk]));
  const chunks: ViewChunk[] = [];
  let others: Message[] = [];
  const cutOthers = () => {
    if (others.length === 0) return;
    for (const json of messageChunks(others)) chunks.push({ json, packed: null });
    others = [];
  };
  for (let at = 0; at < messages.length; ) {
    const message = messages[at] as Message;
    const chunk = byFirst.get(message);
    if (chunk?.messages.every((same, offset) => same === messages[at + offset])) {
      cutOthers();
      const { json, packed } = chunk;
      chunks.push({ json, packed });
      at += chunk.messages.length;
    } else {
      others.push(message);
      at++;
    }
  }
  cutOthers();
  return chunks;
}

/**
 * Whether a view is worth keeping that was made from `readLength` UTF-16 units of runs, behind a view of which
 * `keptBytes` are kept already. Keeping it writes all of it: not more is written than was read.
 */
export function isWorthKeeping(
  { rest, chunks }: ViewJson,
  readLength: number,
  keptBytes: number | null,
): boolean {
  const viewLength = () => chunks.reduce((sum, { json }) => sum + json.length, rest.length);
  return readLength >= Math.max(MIN_KEPT_LENGTH, keptBytes ?? viewLength());
}
