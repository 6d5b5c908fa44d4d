import type { RunnerTransfer } from "../runner/runner-transfer.ts";
import type { StoreAgentRunner } from "../runner/store-agent-runner.ts";
import type { ListThreadsQuery } from "../runner/threads.ts";
import type { ThreadMetadata } from "../store/thread-store.ts";
import type { MovedPage, MovedThread } from "../store/thread-transfer.ts";
import { assertThreadIds, assertTransfer } from "./arguments.ts";
import { RecordsChecksum } from "./checksum.ts";
import { EXPORT_FORMAT, type ExportRecord, type ThreadRecord } from "./records.ts";
import { recordOf, textsOf } from "./run-records.ts";

export interface ExportOptions
  extends Pick<
    ListThreadsQuery,
    "resourceId" | "agentId" | "archived" | "metadata" | "search" | "order"
  > {
  /** Only these threads, in this order. Those that are unknown are left out. */
  readonly threadIds?: readonly string[] | undefined;
  /** Called after each thread. */
  readonly onProgress?: ((progress: ExportProgress) => void) | undefined;
  /** Ends the export with the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
}

export interface ExportProgress {
  readonly threads: number;
  readonly runs: number;
  /** UTF-16 units of the JSON of events and inputs. */
  readonly length: number;
}

/** How often a thread is read that is shortened meanwhile. */
const MAX_ATTEMPTS = 3;

/**
 * The threads of a runner with all that is stored of them, as records for `importThreads` or a file: see
 * `toNdjson`. They are read while runs go on. A run that has not ended is left out.
 *
 * Exports the threads of the current resource. Outside any `withResource`, all threads; with
 * `resources: "required"`, that takes `withResource(EVERY_RESOURCE, ...)`.
 *
 * The last record has the type `"total"`. An export that ends without it is not whole.
 *
 * @throws {TypeError} an option is wrong.
 * @throws {RunStoreError} `RESOURCE_REQUIRED`, `TRANSFER_UNSUPPORTED`, `RUNNER_CLOSED`, at once. While it is
 * iterated over: the codes of a store that cannot be read.
 */
export function exportThreads(
  runner: Pick<StoreAgentRunner, "transfer" | "threads">,
  options: ExportOptions = {},
): AsyncGenerator<ExportRecord, void, undefined> {
  assertTransfer("exportThreads", runner, options);
  assertThreadIds(options.threadIds);
  return new Export(runner.transfer(options.resourceId), options).records();
}

class Export {
  readonly #transfer: RunnerTransfer;
  readonly #options: ExportOptions;
  #threads = 0;
  #runs = 0;
  #length = 0;

  constructor(transfer: RunnerTransfer, options: ExportOptions) {
    this.#transfer = transfer;
    this.#options = options;
  }

  async *records(): AsyncGenerator<ExportRecord, void, undefined> {
    for await (const threadId of this.#threadIds()) {
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
        if (yield* this.#thread(threadId)) break;
      }
      this.#options.onProgress?.(this.#progress);
    }
    yield { type: "total", threads: this.#threads, runs: this.#runs };
  }

  get #progress(): ExportProgress {
    return { threads: this.#threads, runs: this.#runs, length: this.#length };
  }

  async *#threadIds(): AsyncGenerator<string, void, undefined> {
    const { threadIds, agentId, archived, metadata, search, order = "created" } = this.#options;
    if (threadIds !== undefined) return yield* threadIds;
    const query = { agentId, archived, metadata, search, order, limit: 500 };
    let cursor: string | null = null;
    do {
      const page = await this.#transfer.list({ ...query, cursor });
      for (const { id } of page.threads) yield id;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** The records of a thread. Returns false if it has to be read again: it was shortened meanwhile. */
  async *#thread(threadId: string): AsyncGenerator<ExportRecord, boolean, undefined> {
    const checksum = new RecordsChecksum();
    let expected = -1;
    let runs = 0;
    let length = 0;
    for await (const page of this.#pages(threadId)) {
      this.#options.signal?.throwIfAborted();
      if (page?.head != null) {
        expected = page.head.runs;
        // Its first run executes: nothing of it is stored.
        if (expected === 0) return true;
        const record = threadRecordOf(page.head.thread);
        checksum.add(record);
        yield record;
      }
      if (page === null) {
        // Removed. Before its first page, nothing was told of it.
        if (expected >= 0) yield { type: "void", threadId };
        return true;
      }
      if (page.messages.length > 0) {
        const record = { type: "messages", threadId, messages: page.messages } as const;
        checksum.add(record);
        yield record;
      }
      for (const part of page.parts) {
        const record = recordOf(threadId, part);
        const { head, events } = textsOf(record, checksum);
        length += events.length + (head?.input.length ?? 0);
        yield record;
        if (part.isLast) runs++;
      }
    }
    if (runs !== expected) {
      yield { type: "void", threadId };
      return false;
    }
    yield { type: "end", threadId, runs, checksum: checksum.end() };
    this.#threads++;
    this.#runs += runs;
    this.#length += length;
    return true;
  }

  /** The pages of a thread. The next one is read while the consumer has this one. */
  async *#pages(threadId: string): AsyncGenerator<MovedPage | null, void, undefined> {
    let page = await this.#transfer.read(threadId, null);
    while (page?.next != null) {
      const next = this.#transfer.read(threadId, page.next);
      // The consumer may never ask for it.
      next.catch(() => undefined);
      yield page;
      page = await next;
    }
    yield page;
  }
}

function threadRecordOf({ metadata, ...thread }: MovedThread): ThreadRecord {
  const { threadId, resourceId, agentId, title, archived, createdAt, updatedAt } = thread;
  return {
    type: "thread",
    format: EXPORT_FORMAT,
    ...{ threadId, resourceId, agentId, title, metadata: JSON.parse(metadata) as ThreadMetadata },
    ...{ archived, createdAt, updatedAt, forkedFrom: thread.forkedFrom, epoch: thread.epoch },
  };
}
