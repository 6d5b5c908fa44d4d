import { setImmediate as nextTask } from "node:timers/promises";
import type { Message } from "../../events/view/message.ts";
import type { StoredView } from "../../events/view/thread-view.ts";
import type { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { HistoryPageMessage, ViewMessage } from "../../protocol/messages.ts";
import type { HistoryViews, ViewPoint } from "../run-store.ts";
import type { Backend } from "./backend.ts";

/** UTF-16 units of runs from which on a view is kept: reading fewer again costs less than keeping it. */
const MIN_KEPT_LENGTH = 128 * 1024;

interface RowPoint {
  readonly row: number;
}

/** The rows of a first page, as the port has them. */
export function viewPointsOf({
  before,
  end,
}: NonNullable<HistoryPageMessage["views"]>): HistoryViews {
  const pointOf = (row: number): RowPoint => ({ row });
  return { before: before === null ? null : pointOf(before), end: pointOf(end) };
}

/** Reads views from a backend, and has those kept that were much work. */
export class StoredViews {
  readonly #backend: Pick<Backend, "keepView">;
  readonly #readView: NonNullable<Backend["readView"]>;
  readonly #logger: Logger;

  constructor(
    backend: Pick<Backend, "keepView">,
    readView: NonNullable<Backend["readView"]>,
    logger: Logger,
  ) {
    this.#backend = backend;
    this.#readView = readView;
    this.#logger = logger;
  }

  async read(threadId: string, point: ViewPoint): Promise<StoredView> {
    const upToId = (point as RowPoint).row;
    const read = await this.#readView({ threadId, upToId });
    if (read.read >= MIN_KEPT_LENGTH) this.#keep(threadId, upToId, read);
    return parseView(read);
  }

  #keep(threadId: string, upToId: number, { rest, messages, runs }: ViewMessage): void {
    const list = messages.map((chunk) => chunk.slice(1, -1)).filter((chunk) => chunk !== "");
    const view = `{"messages":[${list.join(",")}],${rest.slice(1)}`;
    this.#backend.keepView?.({ threadId, upToId, runs, view }).catch((err: RunStoreError) => {
      this.#logger.debug({ err, threadId }, "the view of a thread was not kept");
    });
  }
}

/** Parses a view in several tasks, so that a long one does not hold up the loop. */
async function parseView({ rest, messages: chunks }: ViewMessage): Promise<StoredView> {
  const messages: Message[] = [];
  for (const [at, chunk] of chunks.entries()) {
    if (at > 0) await nextTask();
    for (const message of JSON.parse(chunk) as Message[]) messages.push(message);
  }
  return { ...(JSON.parse(rest) as Omit<StoredView, "messages">), messages };
}
