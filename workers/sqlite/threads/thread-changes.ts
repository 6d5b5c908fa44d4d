import type { ThreadFacts } from "../../../src/protocol/thread-messages.ts";
import { parseFacts } from "../../../src/runs/thread-facts.ts";
import { expectChange } from "../database/fault.ts";
import type { ValueReader } from "../values/read-values.ts";
import { addWords, factsRowOf, newWords } from "./search-rows.ts";
import type { FactsRow, IndexStatements, RunRow } from "./statements.ts";
import { addRow } from "./thread-facts.ts";

/** The part of a `FactsRow` that changes are made from. */
export type FactsBefore = Pick<
  FactsRow,
  "thread_id" | "up_to" | "facts" | "range" | "range_rows" | "words"
>;

/** For a thread that has no row. Rows are inserted with these values. */
export const NO_ROW = { up_to: 0, facts: null, range: null, range_rows: 0, words: "" } as const;

/** What runs add to the facts and the words of their thread, until that is written. */
export class ThreadChanges {
  readonly #before: FactsBefore;
  readonly #values: ValueReader;
  readonly #known: Set<string>;
  readonly #added = new Set<string>();
  #facts: ThreadFacts;
  #upTo: number;
  #endedAt = 0;
  #agentId: string | null = null;

  constructor(before: FactsBefore, values: ValueReader) {
    const { facts, words, up_to: upTo } = before;
    this.#before = before;
    this.#values = values;
    this.#facts = parseFacts(facts);
    this.#known = new Set(words === "" ? [] : words.split(" "));
    this.#upTo = upTo;
  }

  /** The last row of `agent_runs` that the facts know. */
  get upTo(): number {
    return this.#upTo;
  }

  /** Adds the next run of the thread. Returns how many words are new. */
  add(run: RunRow): number {
    const before = this.#added.size;
    const { facts, texts } = addRow(this.#facts, run, this.#values);
    for (const text of texts) newWords(text, this.#known, this.#added);
    this.#facts = facts;
    this.#upTo = run.id;
    // What another program has stored may be a text, which SQLite sorts behind all times: no list would come to it.
    if (typeof run.created_at === "number") this.#endedAt = run.created_at;
    this.#agentId = run.agent_id ?? this.#agentId;
    return this.#added.size - before;
  }

  /** Called within a transaction. Throws if the facts are no longer those that the changes were made from. */
  write(statements: IndexStatements): void {
    const { thread_id: threadId, up_to: from } = this.#before;
    if (from === 0) factsRowOf(statements, threadId);
    const place = addWords(statements, this.#before, this.#known, this.#added);
    const { range, range_rows: rows, words } = place;
    const facts = JSON.stringify(this.#facts);
    const updated = statements.updateFacts.run(
      ...[this.#upTo, facts, range, rows, words],
      ...[threadId, from],
    );
    expectChange(updated, "what is known of a thread");
    statements.touchThreadBefore.run(this.#endedAt, threadId, this.#endedAt);
    if (this.#agentId !== null) statements.setAgent.run(this.#agentId, threadId, this.#agentId);
  }
}
