import type {
  ListThreadsQuery,
  Message,
  RunRef,
  StoreAgentRunner,
  ThreadSummary,
} from "../../index.ts";
import type {
  MessagesAnswer,
  RecoveredAnswer,
  Relative,
  StateAnswer,
  ThreadAnswer,
  ThreadStatus,
  ThreadsAnswer,
} from "../api.ts";
import { type Census, relativeOf } from "./census.ts";
import type { Parameters } from "./parameters.ts";
import { Refusal } from "./refusal.ts";
import type { RunReader } from "./run-reader.ts";

/** Threads that one request looks through for those of a status. */
const MAX_LOOKED = 2000;
const MAX_ANCESTORS = 50;
/** Characters of messages on a page, unless one message alone is longer. */
const PAGE_LENGTH = 1024 * 1024;
/** How many threads' messages are kept: a reader scrolls through one page by page. */
const KEPT_MESSAGES = 4;

const STATUSES: readonly ThreadStatus[] = ["running", "finished", "interrupt", "error"];

export class ThreadAnswers {
  readonly #runner: StoreAgentRunner;
  readonly #census: Census;
  readonly #read: RunReader;
  /** By thread and its last run. The oldest comes first. */
  readonly #messages = new Map<string, Promise<readonly Message[]>>();

  constructor(runner: StoreAgentRunner, census: Census, read: RunReader) {
    this.#runner = runner;
    this.#census = census;
    this.#read = read;
  }

  list(parameters: Parameters): Promise<ThreadsAnswer> {
    const query: ListThreadsQuery = {
      search: parameters.text("search"),
      agentId: parameters.text("agent"),
      resourceId: parameters.text("resource"),
      archived: parameters.flag("archived"),
      metadata: parameters.object("metadata") as ListThreadsQuery["metadata"],
      order: parameters.oneOf("order", ["updated", "created"]),
    };
    const status = parameters.oneOf("status", STATUSES);
    const isWanted =
      status === undefined ? () => true : (thread: ThreadSummary) => statusOf(thread) === status;
    return this.#page(query, parameters, isWanted);
  }

  recovered(parameters: Parameters): Promise<RecoveredAnswer> {
    const isRecovered = ({ lastRun }: ThreadSummary) => lastRun?.errorCode === "RUN_INTERRUPTED";
    return this.#page({}, parameters, isRecovered);
  }

  async get(parameters: Parameters): Promise<ThreadAnswer> {
    const threadId = parameters.id("thread");
    const [thread, live, forks] = await Promise.all([
      this.#known(threadId),
      this.#read.holder(threadId),
      this.#census.forksOf(threadId),
    ]);
    const ancestors = await this.#ancestorsOf(thread);
    return { thread, live, ancestors, forks: forks ?? [], areForksKnown: forks !== null };
  }

  async messages(parameters: Parameters): Promise<MessagesAnswer> {
    const threadId = parameters.id("thread");
    const limit = parameters.wholeNumber("limit", 1, 500) ?? 100;
    const given = parameters.wholeNumber("from", 0);
    const { lastRun, runs } = await this.#known(threadId);
    // Which runs these are is said, so they may not be those of a run that is stored meanwhile.
    const after = parameters.optionalRun() ?? lastRun;
    const all = after === null ? [] : await this.#messagesOf(threadId, after, runs);
    const from = Math.min(given ?? Math.max(0, all.length - limit), all.length);
    const messages: Message[] = [];
    let length = 0;
    for (const message of all.slice(from, from + limit)) {
      length += JSON.stringify(message).length;
      if (length > PAGE_LENGTH && messages.length > 0) break;
      messages.push(message);
    }
    return { epoch: after?.epoch ?? null, total: all.length, from, messages };
  }

  async state(parameters: Parameters): Promise<StateAnswer> {
    const threadId = parameters.id("thread");
    await this.#known(threadId);
    const after = parameters.optionalRun();
    return { state: await this.#runner.threads.state(threadId, { after }) };
  }

  /** `runs`: how many are stored. A purge leaves fewer. */
  #messagesOf(threadId: string, after: RunRef, runs: number): Promise<readonly Message[]> {
    const key = JSON.stringify([threadId, after, runs]);
    const known = this.#messages.get(key);
    if (known !== undefined) return known;
    const read = this.#runner.threads.messages(threadId, { after });
    this.#messages.set(key, read);
    read.catch(() => this.#messages.delete(key));
    const [oldest = key] = this.#messages.keys();
    if (this.#messages.size > KEPT_MESSAGES) this.#messages.delete(oldest);
    return read;
  }

  async #known(threadId: string): Promise<ThreadSummary> {
    const thread = await this.#runner.threads.get(threadId);
    if (thread !== null) return thread;
    throw new Refusal(404, "THREAD_NOT_FOUND", "There is no such thread.");
  }

  async #ancestorsOf(thread: ThreadSummary): Promise<readonly Relative[]> {
    const ancestors: Relative[] = [];
    let { forkedFrom } = thread;
    // A thread that was removed may come again as a fork of its own fork.
    while (forkedFrom !== null && ancestors.length < MAX_ANCESTORS) {
      const { threadId, runId } = forkedFrom;
      const parent = await this.#runner.threads.get(threadId);
      ancestors.push(relativeOf(threadId, runId, parent));
      forkedFrom = parent?.forkedFrom ?? null;
    }
    return ancestors;
  }

  /** A page of the threads that are wanted. The store does not look for them: the list is looked through. */
  async #page(
    query: ListThreadsQuery,
    parameters: Parameters,
    isWanted: (thread: ThreadSummary) => boolean,
  ): Promise<ThreadsAnswer> {
    const limit = parameters.wholeNumber("limit", 1, 500) ?? 50;
    let cursor = parameters.text("cursor") ?? null;
    const threads: ThreadSummary[] = [];
    let looked = 0;
    do {
      const page = await this.#runner.threads.list({
        ...query,
        limit: limit - threads.length,
        cursor,
      });
      threads.push(...page.threads.filter(isWanted));
      looked += page.threads.length;
      cursor = page.nextCursor;
      // Nearly full is enough: the last places would take many short pages.
    } while (cursor !== null && looked < MAX_LOOKED && threads.length < limit / 2);
    return { threads, nextCursor: cursor };
  }
}

function statusOf({ isRunning, lastRun }: ThreadSummary): ThreadStatus | null {
  return isRunning ? "running" : (lastRun?.outcome ?? null);
}
