import type { Database } from "better-sqlite3";
import { inputOfRun } from "../../../src/events/view/run-input.ts";
import type {
  FoundRunInput,
  RunInputMessage,
  RunInputRequest,
} from "../../../src/protocol/messages.ts";
import { messageChunks } from "../../../src/runs/made-view.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { ViewReader } from "./read-view.ts";
import type { ReadViewStatements } from "./statements.ts";

/** Makes the whole input of a stored run, of which only the messages that were new are stored. */
export class RunInputs {
  readonly #db: Database;
  readonly #statements: ReadViewStatements;
  readonly #values: ValueReader;
  readonly #views: ViewReader;

  constructor(
    db: Database,
    statements: ReadViewStatements,
    values: ValueReader,
    views: ViewReader,
  ) {
    this.#db = db;
    this.#statements = statements;
    this.#values = values;
    this.#views = views;
  }

  read(request: RunInputRequest): RunInputMessage {
    // In one transaction: a purge in the middle would leave an input of no moment.
    return { found: this.#db.transaction(() => this.#read(request))() };
  }

  #read({ threadId, row: id }: RunInputRequest): FoundRunInput | null {
    const row = this.#statements.runOfInput.get(id, threadId);
    if (row === undefined) return null;
    const view = this.#views.viewUpTo(threadId, id - 1);
    const events = parseEvents(this.#values.eventsOf(row)) ?? [];
    const stored = parseInput(this.#values.inputOf(row));
    const runId = row.run_id;
    const { messages, ...rest } = inputOfRun(view, { threadId, runId, events, stored });
    return { runId, rest: JSON.stringify(rest), messages: messageChunks(messages) };
  }
}

/** Another program may have written anything. */
function parseInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return {};
  }
}
