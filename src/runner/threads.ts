import { setTimeout as delay } from "node:timers/promises";
import type { EventLike } from "../events/event.ts";
import type { Message } from "../events/view/message.ts";
import type { StoredView } from "../events/view/thread-view.ts";
import { RunStoreError, type RunStoreErrorCode } from "../protocol/errors.ts";
import { expectNoOther } from "../protocol/no-such-option.ts";
import type { Scope } from "../protocol/scope.ts";
import type { RunStore } from "../store/run-store.ts";
import type {
  EraseRequest,
  EraseResult,
  Holders,
  HoldersQuery,
  RunDetails,
  RunPage,
  RunQuery,
  RunRef,
  ThreadMetadata,
  ThreadPage,
  ThreadQuery,
  ThreadStore,
  ThreadSummary,
} from "../store/thread-store.ts";
import { type OpenRun, readRun, runEvents } from "./run-events.ts";
import { readStoredView, storedEvents } from "./stored-view.ts";
import {
  assertHoldersQuery,
  assertId,
  assertMetadata,
  assertRunRef,
  assertThreadQuery,
} from "./thread-arguments.ts";

export interface ThreadsOptions {
  readonly store: RunStore;
  /** The scope of the call that is under way. May throw `RESOURCE_REQUIRED`. */
  readonly scope: () => Scope;
  /**
   * The scope of a call that names a resource itself. Null within `withResource` of another resource, to
   * which that one is unknown.
   */
  readonly scopeOf: (resourceId: string) => Scope | null;
  /** Ends the run that holds the thread, wherever it executes. Resolves when it no longer does. */
  readonly endRun: (threadId: string, scope: Scope) => Promise<void>;
  /** The started runs of the thread in this process, whose outcome may not be stored yet. */
  readonly openRuns: (threadId: string, scope: Scope) => readonly OpenRun[];
}

export interface ViewOptions {
  /** The thread as it was after this stored run. Default: after the last one. */
  readonly after?: RunRef | undefined;
}

export interface ListThreadsQuery extends ThreadQuery {
  /** Only threads of this resource: like a call within `withResource(resourceId, ...)`. */
  readonly resourceId?: string | undefined;
}

export interface ForkOptions {
  /** The id of the last run to take over. Default: the last run of the thread. */
  readonly atRun?: string | undefined;
  /** The id of the new thread. Default: a random UUID. */
  readonly newThreadId?: string | undefined;
}

/** How often a removal is tried that a run hinders. A run that ended leaves its thread soon. */
const MAX_ATTEMPTS = 50;

const NO_THREADS: ThreadPage = { threads: [], nextCursor: null };

/**
 * The threads of a runner: `runner.threads`.
 *
 * Every method reads and writes outside the main thread, and sees the threads of the current resource:
 * see `withResource`. A thread that is unknown, or another's, is `null` to `get` and empty to whatever
 * reads. What would change it rejects with a `RunStoreError` of code `THREAD_NOT_FOUND`.
 *
 * All methods may also reject with `RESOURCE_REQUIRED`, `RUNNER_CLOSED`, `THREADS_UNSUPPORTED`, and the codes
 * of a store that cannot be read or written. A wrong argument rejects with a `TypeError`.
 */
export class Threads {
  readonly #options: ThreadsOptions;

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /**
   * A page of threads, newest first.
   *
   * @throws {RunStoreError} `INVALID_CURSOR`: the cursor belongs to another query, or is no cursor.
   */
  async list(query: ListThreadsQuery = {}): Promise<ThreadPage> {
    assertThreadQuery(query);
    const { resourceId, ...rest } = query;
    const { scope, scopeOf } = this.#options;
    const ownScope = resourceId === undefined ? scope() : scopeOf(resourceId);
    return ownScope === null ? NO_THREADS : this.#store.list(rest, ownScope);
  }

  async get(threadId: string): Promise<ThreadSummary | null> {
    assertId(threadId, "threadId");
    return this.#store.get(threadId, this.#options.scope());
  }

  /**
   * The messages that a client of the thread holds, oldest first: those of its stored runs.
   *
   * @throws {RunStoreError} `RUN_NOT_FOUND`: the run `after` is not stored.
   */
  async messages(threadId: string, options: ViewOptions = {}): Promise<readonly Message[]> {
    return (await this.#view(threadId, options)).messages;
  }

  /**
   * The state that a client of the thread holds, after its stored runs. `{}` if there is none.
   *
   * @throws {RunStoreError} `RUN_NOT_FOUND`: the run `after` is not stored.
   */
  async state(threadId: string, options: ViewOptions = {}): Promise<unknown> {
    return (await this.#view(threadId, options)).state;
  }

  /**
   * All events of the stored runs, in order, as they were emitted, but for what compaction merges. They are
   * those that the caller may see, whoever iterates over them later.
   */
  events(threadId: string): AsyncGenerator<EventLike, void, undefined> {
    const scoped = this.#scopeFor(threadId);
    // A wrong call rejects when it is iterated over.
    scoped.catch(() => undefined);
    return this.#events(threadId, scoped);
  }

  /** A stored run. Null if there is none: the run may execute, or its thread be another's. */
  async run(threadId: string, run: RunRef): Promise<RunDetails | null> {
    assertId(threadId, "threadId");
    assertRunRef(run);
    return readRun(this.#options.store, threadId, this.#options.scope(), run);
  }

  /**
   * All events of one run, like `events`. Of a run that executes, in whatever process: those so far, and then those
   * that come, until it ends. They are not compacted yet: once the run is stored, it may have fewer events.
   *
   * Ends early with `signal`. A run that is unknown has no events.
   */
  runEvents(
    threadId: string,
    run: RunRef,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<EventLike, void, undefined> {
    const scoped = this.#scopeFor(threadId).then((scope) => {
      assertRunRef(run);
      return scope;
    });
    scoped.catch(() => undefined);
    return this.#runEvents(threadId, run, scoped, signal);
  }

  /**
   * Who holds what: the runners that have the database open, and the threads on which runs execute. For operators: it
   * reads all journals, and on PostgreSQL all threads.
   */
  async holders(query: HoldersQuery = {}): Promise<Holders> {
    assertHoldersQuery(query);
    return this.#store.holders(query, this.#options.scope());
  }

  /** A page of the stored runs, oldest first. */
  async runs(threadId: string, query: RunQuery = {}): Promise<RunPage> {
    assertId(threadId, "threadId");
    assertThreadQuery(query);
    return this.#store.runs(threadId, query, this.#options.scope());
  }

  /** Sets the title. Null gives the default title back. */
  async rename(threadId: string, title: string | null): Promise<void> {
    assertId(threadId, "threadId");
    if (title !== null) assertId(title, "title");
    await this.#store.update(threadId, { title }, this.#options.scope());
  }

  /** Lists with `archived: false` leave an archived thread out. Nothing else changes. */
  async archive(threadId: string): Promise<void> {
    assertId(threadId, "threadId");
    await this.#store.update(threadId, { archived: true }, this.#options.scope());
  }

  async unarchive(threadId: string): Promise<void> {
    assertId(threadId, "threadId");
    await this.#store.update(threadId, { archived: false }, this.#options.scope());
  }

  /** Replaces the metadata of a thread: an object that JSON can hold. */
  async setMetadata(threadId: string, metadata: ThreadMetadata): Promise<void> {
    assertId(threadId, "threadId");
    assertMetadata(metadata);
    await this.#store.update(threadId, { metadata }, this.#options.scope());
  }

  /**
   * Makes a new thread with the history of this one up to a run, and resolves with its id. Either thread can
   * be removed without the other.
   *
   * @throws {RunStoreError} `RUN_NOT_FOUND`: the thread has no stored run of the id `atRun`.
   * `THREAD_EXISTS`: there is a thread of the id `newThreadId`.
   */
  async fork(threadId: string, options: ForkOptions = {}): Promise<string> {
    const { atRun, newThreadId = crypto.randomUUID(), ...unknown } = options;
    assertId(threadId, "threadId");
    // With a misspelt `atRun`, the fork would have more runs than it should.
    expectNoOther("fork", unknown, ["atRun", "newThreadId"]);
    assertId(newThreadId, "newThreadId");
    if (atRun !== undefined) assertId(atRun, "atRun");
    await this.#store.fork({ threadId, newThreadId, atRun }, this.#options.scope());
    return newThreadId;
  }

  /**
   * Removes a thread with its runs. A run that executes on it is ended first, wherever it executes, and
   * nothing of it is kept.
   */
  async delete(threadId: string): Promise<void> {
    assertId(threadId, "threadId");
    await this.#delete(threadId, this.#options.scope());
  }

  /** Deletes all threads of the scope, and resolves with their number. */
  async clear(): Promise<number> {
    const scope = this.#options.scope();
    let deleted = 0;
    for await (const { id } of this.#each(scope)) {
      if (await this.#deleteIfThere(id, scope)) deleted++;
    }
    return deleted;
  }

  /**
   * Deletes a thread, or all threads of a resource, so that nothing of their content is left in the files
   * of the database. It then searches these files for it. Backups are other files: it does not reach them. What
   * it reaches on PostgreSQL is in docs/threads.md.
   *
   * @throws {RunStoreError} `ERASE_INCOMPLETE`: the content may still be there; call it again.
   */
  async erase(request: EraseRequest): Promise<EraseResult> {
    const { threadId, resourceId } = request ?? {};
    if ((threadId === undefined) === (resourceId === undefined)) {
      throw new TypeError("erase: expected either a threadId or a resourceId");
    }
    if (threadId !== undefined) {
      assertId(threadId, "threadId");
      const scope = this.#options.scope();
      const endRun = () => this.#options.endRun(threadId, scope);
      return this.#whenIdle(endRun, () => this.#store.erase({ threadId }, scope));
    }
    assertId(resourceId, "resourceId");
    const scope = this.#options.scopeOf(resourceId);
    if (scope === null)
      throw new RunStoreError(
        "THREAD_NOT_FOUND",
        "erase: the call is within withResource of another resource",
      );
    const endRuns = async () => {
      for await (const { id, isRunning } of this.#each(scope)) {
        if (isRunning) await this.#options.endRun(id, scope);
      }
    };
    return this.#whenIdle(endRuns, () => this.#store.erase({ resourceId }, scope));
  }

  get #store(): ThreadStore {
    const { threads } = this.#options.store;
    if (threads !== undefined) return threads;
    throw new RunStoreError("THREADS_UNSUPPORTED", "the store of this runner lists no threads");
  }

  /** The scope of the call that is under way. */
  async #scopeFor(threadId: string): Promise<Scope> {
    assertId(threadId, "threadId");
    return this.#options.scope();
  }

  async *#events(threadId: string, scope: Promise<Scope>): AsyncGenerator<EventLike, void> {
    yield* storedEvents(this.#options.store, threadId, await scope);
  }

  async *#runEvents(
    threadId: string,
    run: RunRef,
    scope: Promise<Scope>,
    signal?: AbortSignal,
  ): AsyncGenerator<EventLike, void> {
    const { store, openRuns } = this.#options;
    const seen = await scope;
    yield* runEvents({
      ...{ store, threadId, run, signal, scope: seen },
      openRuns: () => openRuns(threadId, seen),
    });
  }

  async #view(
    threadId: string,
    { after }: ViewOptions,
  ): Promise<Pick<StoredView, "messages" | "state">> {
    assertId(threadId, "threadId");
    if (after !== undefined) assertRunRef(after);
    const { store, scope } = this.#options;
    return readStoredView(store, threadId, scope(), after);
  }

  /** Every thread of a scope, page by page. */
  async *#each(scope: Scope): AsyncGenerator<ThreadSummary, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const page: ThreadPage = await this.#store.list({ cursor, order: "created" }, scope);
      yield* page.threads;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  async #deleteIfThere(threadId: string, scope: Scope): Promise<boolean> {
    try {
      await this.#delete(threadId, scope);
      return true;
    } catch (error) {
      if (hasCode(error, "THREAD_NOT_FOUND")) return false;
      throw error;
    }
  }

  async #delete(threadId: string, scope: Scope): Promise<void> {
    const endRun = () => this.#options.endRun(threadId, scope);
    await this.#whenIdle(endRun, async (hasEnded) => {
      try {
        await this.#store.delete(threadId, scope);
      } catch (error) {
        // A thread whose only run was ended is gone with it.
        if (!(hasEnded && hasCode(error, "THREAD_NOT_FOUND"))) throw error;
      }
    });
  }

  /**
   * Removes something, and ends the runs that hinder it. Other runs may begin meanwhile. `remove` is told
   * whether runs were ended.
   */
  async #whenIdle<T>(
    endRuns: () => Promise<void>,
    remove: (hasEnded: boolean) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await remove(attempt > 1);
      } catch (error) {
        const mayPass = hasCode(error, "THREAD_ALREADY_RUNNING") && attempt < MAX_ATTEMPTS;
        if (!mayPass) throw error;
      }
      await endRuns();
      await delay(attempt);
    }
  }
}

function hasCode(error: unknown, code: RunStoreErrorCode): boolean {
  return error instanceof RunStoreError && error.code === code;
}
