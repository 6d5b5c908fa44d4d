import type { StoredView } from "../../events/view/thread-view.ts";
import type { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { HistoryPageMessage, ViewMessage, ViewRequest } from "../../protocol/messages.ts";
import { withDeadline } from "../../protocol/with-deadline.ts";
import type { HistoryViews, ViewPoint } from "../run-store.ts";
import type { Backend } from "./backend.ts";
import type { StoredLength } from "./claimed-run.ts";
import { parseChunks } from "./parse-chunks.ts";

/** UTF-16 units of snapshots after which a view is made unasked. */
const MIN_UNREAD_LENGTH = 1024 * 1024;

/** And how many times as long as the view they have to be: keeping a view writes all of it. */
const UNREAD_VIEWS = 4;

/**
 * The same for all events of a thread whose replays fold older runs, and not less than the bytes of the view
 * that is kept. So a replay reads about as much behind a kept view at most.
 */
const MIN_UNREAD_FOLDED = 256 * 1024;

/** Milliseconds that a replay waits for a view to be kept. To make it again takes as long. */
const MAX_KEEP_WAIT_MS = 100;

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
  /** UTF-16 units of what was stored since a view was made, as far as it counts. */
  unread: number;
  /** UTF-16 units of the view that was read last. */
  viewLength: number;
  /** Bytes of the view that is kept. */
  keptBytes: number;
  /** How many of the last runs replays show whole, at most. Null where no replay folds runs. */
  replayedRuns: number | null;
  /** Settles when a view is kept that is being kept. */
  keeping: Promise<void> | null;
}

/**
 * Reads views from a backend, and has those kept that were much work.
 *
 * Agents that send snapshots send the whole talk in each run. After some of those runs a view is made and
 * kept, before anybody asks for it: a client that reloads need not wait until all of them are read. So it is
 * for a thread whose replays fold older runs into a view.
 */
export class StoredViews {
  readonly #backend: Pick<Backend, "keepView">;
  readonly #readView: NonNullable<Backend["readView"]>;
  readonly #logger: Logger;
  /** The least recently used thread comes first. */
  readonly #threads = new Map<string, ThreadViews>();
  /** After which rows the views are that were given out. */
  readonly #given = new WeakMap<StoredView, RowPoint>();

  constructor(
    backend: Pick<Backend, "keepView">,
    readView: NonNullable<Backend["readView"]>,
    logger: Logger,
  ) {
    this.#backend = backend;
    this.#readView = readView;
    this.#logger = logger;
  }

  async read(threadId: string, point: ViewPoint, earlier?: StoredView): Promise<StoredView> {
    const upToId = (point as RowPoint).row;
    const since = earlier && this.#given.get(earlier)?.row;
    if (earlier !== undefined && since !== undefined) {
      const view = await this.#readBehind(threadId, upToId, earlier, since);
      if (view !== null) return view;
    }
    const read = await this.#readAndKeep(threadId, { upToId, leaveOut: 0 });
    const view = await parseChunks<StoredView>(read);
    this.#given.set(view, { row: upToId });
    return view;
  }

  /** A replay of the thread shows the last `runs` runs whole. */
  noteReplayed(threadId: string, runs: number): void {
    const thread = this.#threadOf(threadId);
    thread.replayedRuns = Math.max(runs, thread.replayedRuns ?? 0);
  }

  noteStored(threadId: string, { events, snapshots }: StoredLength): void {
    const isFolded = (this.#threads.get(threadId)?.replayedRuns ?? null) !== null;
    const counted = isFolded ? events : snapshots;
    if (counted === 0) return;
    const thread = this.#threadOf(threadId);
    thread.unread += counted;
    const enough = isFolded
      ? Math.max(MIN_UNREAD_FOLDED, thread.keptBytes)
      : Math.max(MIN_UNREAD_LENGTH, UNREAD_VIEWS * thread.viewLength);
    if (thread.unread < enough) return;
    thread.unread = 0;
    const leaveOut = thread.replayedRuns ?? 0;
    this.#readAndKeep(threadId, { upToId: null, leaveOut }).catch((err: RunStoreError) => {
      this.#logger.debug({ err, threadId }, "the view of a thread was not made");
    });
  }

  /** Null where the earlier view is not of the same history: runs were removed since. */
  async #readBehind(
    threadId: string,
    upToId: number,
    earlier: StoredView,
    since: number,
  ): Promise<StoredView | null> {
    // The later view is made from the earlier one, which may be about to be kept. Another program may hold up
    // the writer, and the replay with it.
    const keeping = this.#threads.get(threadId)?.keeping ?? null;
    if (keeping !== null) await withDeadline(keeping, MAX_KEEP_WAIT_MS);
    const read = await this.#readView({ threadId, upToId, leaveOut: 0, since });
    const { same } = read;
    if (same === null) return null;
    const view = await parseChunks<StoredView>(read);
    if (same.of !== earlier.messages.length) return null;
    return { ...view, messages: earlier.messages.slice(0, same.count).concat(view.messages) };
  }

  async #readAndKeep(
    threadId: string,
    which: Pick<ViewRequest, "upToId" | "leaveOut">,
  ): Promise<ViewMessage> {
    const read = await this.#readView({ threadId, since: null, ...which });
    const thread = this.#threadOf(threadId);
    thread.viewLength = read.messages.reduce((sum, { length }) => sum + length, read.rest.length);
    thread.keptBytes = read.packed?.length ?? read.keptBytes;
    this.#keep(threadId, thread, read);
    return read;
  }

  #threadOf(threadId: string): ThreadViews {
    const thread = this.#threads.get(threadId) ?? {
      ...{ unread: 0, viewLength: 0, keptBytes: 0 },
      ...{ replayedRuns: null, keeping: null },
    };
    this.#threads.delete(threadId);
    this.#threads.set(threadId, thread);
    const [oldest = threadId] = this.#threads.keys();
    if (this.#threads.size > MAX_THREADS) this.#threads.delete(oldest);
    return thread;
  }

  #keep(threadId: string, thread: ThreadViews, read: ViewMessage): void {
    const { upToId, runs, changedRuns, packed } = read;
    if (packed === null || this.#backend.keepView === undefined) return;
    const keeping = this.#backend
      .keepView({ threadId, upToId, runs, changedRuns, packed })
      .catch((err: RunStoreError) => {
        this.#logger.debug({ err, threadId }, "the view of a thread was not kept");
      })
      .then(() => {
        if (thread.keeping === keeping) thread.keeping = null;
      });
    thread.keeping = keeping;
  }
}
