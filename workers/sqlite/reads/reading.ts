import type {
  HistoryPageMessage,
  LookMessage,
  ReaderRequest,
  RunningMessage,
} from "../../../src/protocol/messages.ts";
import { HistoryPages } from "./history-pages.ts";
import type { ReaderContext } from "./reader-context.ts";
import { look } from "./tail.ts";
import { runningRun } from "./who-runs.ts";

/** Answers the reads of the main thread, in a reader or in the writer of a database in memory. */
export class Reading {
  readonly #context: ReaderContext;
  readonly #pages: HistoryPages;

  constructor(context: ReaderContext) {
    this.#context = context;
    this.#pages = new HistoryPages(context);
  }

  answer(request: ReaderRequest): HistoryPageMessage | RunningMessage | LookMessage {
    switch (request.kind) {
      case "page":
        return this.#pages.read(request.page);
      case "running":
        return runningRun(this.#context, request.threadId);
      case "look":
        return look(this.#context, request.look);
    }
  }
}
