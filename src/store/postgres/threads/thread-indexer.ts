import { toRunStoreError } from "../../../protocol/errors.ts";
import { parseFacts } from "../../../runs/thread-facts.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Compactor } from "../compactor.ts";
import type { Connection } from "../connection.ts";
import type { Statements } from "../statements.ts";
import { fromStored, fromStoredOrNull, toStored } from "../stored-ids.ts";
import { byKeys } from "./by-keys.ts";
import type { ListedRunColumns } from "./thread-statements.ts";
import { readForFacts } from "./thread-summaries.ts";
import type { ThreadTouches } from "./thread-touches.ts";

/** Threads, runs a thread, and bytes of runs that one step reads. */
const STEP_THREADS = 100;
const STEP_RUNS = 32;
const STEP_BYTES = 1024 * 1024;

/** Threads of which one step of a sweep looks whether they lag behind. */
const SWEEP_THREADS = 2000;

/** Threads that are remembered. Beyond them, all threads are looked through later. */
const MAX_WAITING = 100_000;

/** Words of one row: a `tsvector` has at most 1 MB. */
const ROW_WORDS = 4000;

export interface ThreadIndexerOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly compactor: Compactor;
  readonly touches: ThreadTouches;
}

interface FactsRow {
  readonly thread_id: string;
  readonly up_to: number;
  readonly facts: string | null;
  readonly generation: number;
}

interface ListedRow {
  readonly thread_id: string;
  readonly updated_at: number;
}

/** What a step writes of a thread. Ids as they are stored. */
interface MadeFacts {
  readonly id: string;
  readonly before: number;
  readonly upTo: number;
  readonly generation: number;
  readonly facts: string;
  readonly words: readonly string[];
}

/**
 * Makes what lists and searches need of the runs: `thread_facts` and `thread_words`.
 *
 * Each host does so for the threads whose runs it has stored, step by step, behind its transactions. Those of
 * a host that died before it had done so are found by a sweep: see `sweep`. Several hosts may work on one
 * thread: what is written counts only if the facts are still those that it was made from.
 */
export class ThreadIndexer {
  readonly #options: ThreadIndexerOptions;
  /** Threads with runs that may be behind their facts, those that have waited longest first. */
  readonly #waiting = new Set<string>();
  /** How many threads are taken one at a time, because one of them cannot be indexed. */
  #alone = 0;
  /** The sweep goes on behind this id. Null while there is none. */
  #sweptUpTo: string | null = null;

  constructor(options: ThreadIndexerOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#sweptUpTo === null;
  }

  note(threadIds: readonly string[]): void {
    for (const id of threadIds) {
      if (this.#waiting.size < MAX_WAITING) this.#waiting.add(id);
      else this.#sweptUpTo ??= "";
    }
  }

  /** Looks through all threads for those whose runs are behind their facts. */
  sweep(): void {
    this.#sweptUpTo = "";
  }

  /** Does a piece of what is to be done. */
  async step(): Promise<void> {
    if (this.#waiting.size > 0) return this.#index();
    if (this.#sweptUpTo !== null) return this.#sweep(this.#sweptUpTo);
  }

  async #sweep(from: string): Promise<void> {
    const { connection, statements } = this.#options;
    const { rows } = await connection.use((send) =>
      byKeys(send, statements, statements.threadsBehind, [from, SWEEP_THREADS]),
    );
    const found = rows as { readonly thread_id: string; readonly is_behind: boolean }[];
    // A sweep that was begun meanwhile starts from the first thread.
    const isCurrent = this.#sweptUpTo === from;
    const last = found.length < SWEEP_THREADS ? null : (found.at(-1)?.thread_id ?? null);
    if (isCurrent) this.#sweptUpTo = last;
    this.note(found.flatMap((row) => (row.is_behind ? [fromStored(row.thread_id)] : [])));
  }

  async #index(): Promise<void> {
    const ids: string[] = [];
    for (const id of this.#waiting) {
      if (ids.push(id) >= (this.#alone > 0 ? 1 : STEP_THREADS)) break;
    }
    if (this.#alone > 0) this.#alone--;
    for (const id of ids) this.#waiting.delete(id);
    try {
      const { made, left } = await this.#make(ids.map(toStored));
      if (made.length > 0) await this.#write(made);
      this.note(left.map(fromStored));
    } catch (error) {
      const isOfThread = !toRunStoreError(error).retryable;
      if (isOfThread && ids.length > 1) this.#alone = this.#waiting.size + ids.length;
      if (!isOfThread || ids.length > 1) this.note(ids);
      throw error;
    }
  }

  /** Makes the facts of threads. `left`: those with runs that were not read. */
  async #make(ids: readonly string[]): Promise<{
    readonly made: readonly MadeFacts[];
    readonly left: readonly string[];
  }> {
    const { connection, statements, compactor } = this.#options;
    const [known, listed] = await connection.use((send) =>
      Promise.all([
        byKeys(send, statements, statements.factsOf, [textArray(ids)]),
        send(statements.listedOf, [textArray(ids)]),
      ]),
    );
    const facts = known.rows as FactsRow[];
    const { rows } = await connection.use((send) =>
      byKeys(send, statements, statements.runsBehindFacts, [
        textArray(facts.map(({ thread_id }) => thread_id)),
        bigintArray(facts.map(({ up_to }) => up_to)),
        STEP_RUNS,
        STEP_BYTES,
      ]),
    );
    const runs = rows as ListedRunColumns[];
    const byThread = Map.groupBy(runs, ({ thread_id }) => thread_id);
    const behind = facts.filter(({ thread_id }) => byThread.has(thread_id));
    const threads = await readForFacts(this.#options, behind, runs);
    const results = await compactor.makeFacts({ threads, withWords: true });
    this.#correctList(facts, listed.rows as ListedRow[], byThread);
    const made = behind.map(({ thread_id: id, up_to: before, generation }, at) => ({
      ...{ id, before, generation },
      upTo: byThread.get(id)?.at(-1)?.epoch ?? before,
      facts: JSON.stringify(results[at]?.facts),
      words: results[at]?.words ?? [],
    }));
    const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    const last = runs.at(-1)?.thread_id;
    const isCut = bytes >= STEP_BYTES;
    const left = facts.flatMap(({ thread_id: id }) => {
      const count = byThread.get(id)?.length ?? 0;
      return count === STEP_RUNS || (isCut && (count === 0 || id === last)) ? [id] : [];
    });
    return { made, left };
  }

  /** Corrects the list, where what a transaction had put off was lost. */
  #correctList(
    threads: readonly FactsRow[],
    listed: readonly ListedRow[],
    behind: ReadonlyMap<string, readonly ListedRunColumns[]>,
  ): void {
    const known = new Map(listed.map((row) => [row.thread_id, row]));
    for (const { thread_id: id, facts } of threads) {
      const runs = behind.get(id) ?? [];
      const row = known.get(id);
      const at = runs.at(-1)?.finished_at ?? parseFacts(facts).lastRun?.endedAt;
      if (at === undefined || (row !== undefined && row.updated_at >= at)) continue;
      const agentId = runs.findLast(({ agent_id }) => agent_id !== null)?.agent_id ?? null;
      const from = runs[0]?.finished_at ?? at;
      this.#options.touches.note(fromStored(id), { from, at, agentId: fromStoredOrNull(agentId) });
    }
  }

  async #write(made: readonly MadeFacts[]): Promise<void> {
    const { connection, statements } = this.#options;
    const { begin, bounded, keepThreads, addFacts, lockFacts, putFacts, addWords, commit } =
      statements;
    const ids = textArray(made.map(({ id }) => id));
    const generations = bigintArray(made.map(({ generation }) => generation));
    const epochs = bigintArray(made.map(({ upTo }) => upTo));
    const befores = bigintArray(made.map(({ before }) => before));
    const facts = textArray(made.map((thread) => thread.facts));
    const words = made.flatMap(rowsOfWords);
    await connection.use(async (send) => {
      const answers = await Promise.allSettled([
        send(begin),
        send(bounded),
        send(keepThreads, [ids]),
        send(addFacts, [ids, epochs]),
        send(lockFacts, [ids]),
        send(putFacts, [ids, generations, befores, epochs, facts]),
        ...(words.length === 0 ? [] : [send(addWords, wordValues(words))]),
        send(commit),
      ]);
      const failed = answers.find((answer) => answer.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    });
  }
}

interface WordsRow {
  readonly thread: MadeFacts;
  readonly part: number;
  readonly words: string;
}

function rowsOfWords(thread: MadeFacts): WordsRow[] {
  const rows: WordsRow[] = [];
  for (let at = 0; at < thread.words.length; at += ROW_WORDS) {
    const words = thread.words.slice(at, at + ROW_WORDS).join(" ");
    rows.push({ thread, part: rows.length, words });
  }
  return rows;
}

function wordValues(rows: readonly WordsRow[]): readonly Buffer[] {
  return [
    textArray(rows.map(({ thread }) => thread.id)),
    bigintArray(rows.map(({ thread }) => thread.generation)),
    bigintArray(rows.map(({ thread }) => thread.upTo)),
    bigintArray(rows.map(({ part }) => part)),
    textArray(rows.map(({ words }) => words)),
  ];
}
