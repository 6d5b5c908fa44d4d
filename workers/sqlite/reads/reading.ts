import type { Holders } from "../../../src/protocol/holders.ts";
import type {
  HistoryPageMessage,
  LookMessage,
  ReaderRequest,
  RunInputMessage,
  RunningMessage,
  ViewMessage,
  ViewRequest,
} from "../../../src/protocol/messages.ts";
import type { MovedPageMessage } from "../../../src/protocol/moved-threads.ts";
import type {
  ListRunsMessage,
  ListThreadsMessage,
  ReadThreadMessage,
} from "../../../src/protocol/thread-messages.ts";
import { ThreadReader } from "../threads/read-threads.ts";
import { KnownChunks } from "../values/known-chunks.ts";
import { ValueReader } from "../values/read-values.ts";
import { RunInputs } from "../views/read-input.ts";
import { ViewReader } from "../views/read-view.ts";
import { HistoryPages } from "./history-pages.ts";
import { HolderReader } from "./holders.ts";
import { MovedThreads } from "./moved-threads.ts";
import type { ReaderContext } from "./reader-context.ts";
import { look } from "./tail.ts";
import { runningRun } from "./who-runs.ts";

export type ReaderReply =
  | HistoryPageMessage
  | RunningMessage
  | LookMessage
  | ViewMessage
  | ListThreadsMessage
  | ReadThreadMessage
  | ListRunsMessage
  | Holders
  | MovedPageMessage
  | RunInputMessage;

/** Answers the reads of the main thread, in a reader or in the writer of a database in memory. */
export class Reading {
  readonly #context: ReaderContext;
  readonly #pages: HistoryPages;
  readonly #views: ViewReader;
  readonly #inputs: RunInputs;
  readonly #threads: ThreadReader;
  readonly #moved: MovedThreads;
  readonly #holders: HolderReader;

  constructor(context: ReaderContext) {
    this.#context = context;
    // Requests are answered between transactions.
    const values = new ValueReader(context.statements, new KnownChunks());
    this.#pages = new HistoryPages(context, values);
    this.#views = new ViewReader(context.db, context.statements, values);
    this.#inputs = new RunInputs(context.db, context.statements, values, this.#views);
    this.#threads = new ThreadReader(context, values);
    this.#moved = new MovedThreads(context, values);
    this.#holders = new HolderReader(context);
  }

  answer(request: ReaderRequest): ReaderReply {
    switch (request.kind) {
      case "page":
        return this.#pages.read(request.page);
      case "running":
        return runningRun(this.#context, request);
      case "look":
        return look(this.#context, request.look);
      case "view":
        return this.#views.read(this.#ofFinished(request.view));
      case "run-input":
        return this.#inputs.read(request.run);
      case "threads":
        return this.#threads.list(request);
      case "thread":
        return this.#threads.get(request);
      case "runs":
        return this.#threads.runs(request);
      case "holders":
        return this.#holders.read(request);
      case "moved":
        return this.#moved.read(request);
    }
  }

  /** A thread that is being removed or forked has only a part of its runs: it is shown as if it had none. */
  #ofFinished(view: ViewRequest): ViewRequest {
    const isUnfinished = this.#context.statements.unfinishedThread.get(view.threadId) !== undefined;
    return isUnfinished ? { ...view, upToId: 0, leaveOut: 0, since: null } : view;
  }
}
