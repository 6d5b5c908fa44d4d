import type { StoredView } from "../../events/view/thread-view.ts";
import type { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { HistoryPageMessage, ViewMessage } from "../../protocol/messages.ts";
import type { HistoryViews, ViewPoint } from "../run-store.ts";
import type { Backend } from "./backend.ts";
import { parseChunks } from "./parse-chunks.ts";

/** UTF-16 units of snapshots after which a view is made unasked. */
const MIN_UNREAD_LENGTH = 1024 * 1024;

/** And how many times as long as the view they have to be: keeping a view writes all of it. */
const UNREAD_VIEWS = 4;

/** How many threads are remembered. */
const MAX_THREADS = 4096;

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

/** What is known of the views of a thread. */
interface ThreadViews {
  /** UTF-16 units of snapshots in runs that were stored since a view was kept. */
  unread: number;
  /** UTF-16 units of the view that was read last. */
  viewLength: number;
}

/**
 * Reads views from a backend, and has those kept that were much work.
 *
 * Agents that send snapshots send the whole talk in each run. After some of those runs a view is made and
 * kept, before anybody asks for it: a client that reloads need not wait until all of them are read.
 */
export class StoredViews {
  readonly #backend: Pick<Backend, "keepView">;
  readonly #readView: NonNullable<Backend["readView"]>;
  readonly #logger: Logger;
  /** The least recently used thread comes first. */
  readonly #threads = new Map<string, ThreadViews>();

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
    return parseChunks<StoredView>(await this.#readAndKeep(threadId, (point as RowPoint).row));
  }

  /** A run with `length` UTF-16 units of snapshots was stored. */
  noteStored(threadId: string, length: number): void {
    if (length === 0) return;
    const thread = this.#threadOf(threadId);
    thread.unread += length;
    const isMuch = thread.unread >= Math.max(MIN_UNREAD_LENGTH, UNREAD_VIEWS * thread.viewLength);
    if (!isMuch) return;
    thread.unread = 0;
    this.#readAndKeep(threadId, null).catch((err: RunStoreError) => {
      this.#logger.debug({ err, threadId }, "the view of a thread was not made");
    });
  }

  async #readAndKeep(threadId: string, upToId: number | null): Promise<ViewMessage> {
    const read = await this.#readView({ threadId, upToId });
    const thread = this.#threadOf(threadId);
    thread.viewLength = read.messages.reduce((sum, { length }) => sum + length, read.rest.length);
    this.#keep(threadId, read);
    return read;
  }

  #threadOf(threadId: string): ThreadViews {
    const thread = this.#threads.get(threadId) ?? { unread: 0, viewLength: 0 };
    this.#threads.delete(threadId);
    this.#threads.set(threadId, thread);
    const [oldest = threadId] = this.#threads.keys();
    if (this.#threads.size > MAX_THREADS) this.#threads.delete(oldest);
    return thread;
  }

  #keep(threadId: string, { upToId, runs, packed }: ViewMessage): void {
    if (packed === null) return;
    this.#backend.keepView?.({ threadId, upToId, runs, packed }).catch((err: RunStoreError) => {
      this.#logger.debug({ err, threadId }, "the view of a thread was not kept");
    });
  }
}
