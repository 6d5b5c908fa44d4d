import type { StoredEventsRow, StoredInputRow } from "../../events/shared/places.ts";
import { spansIn } from "../../events/shared/span-texts.ts";
import type {
  KeepViewRequest,
  RunInputMessage,
  ViewMessage,
  ViewRequest,
} from "../../protocol/messages.ts";
import { viewsToDrop } from "../../runs/kept-views.ts";
import { bigintArray } from "./binary-arrays.ts";
import type { Compactor } from "./compactor.ts";
import type { Connection } from "./connection.ts";
import type { Statement, Statements } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import { readChunks } from "./values/chunks.ts";

/** Bytes of runs, and runs, that one step takes: so much is in memory at a time. */
const STEP_BYTES = 2 * 1024 * 1024;
const STEP_RUNS = 500;

export interface ViewsOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly compactor: Compactor;
}

interface KeptRow {
  readonly up_to: number;
  readonly runs: number;
  readonly view: Uint8Array;
}

interface RunRow extends StoredEventsRow {
  readonly epoch: number;
  readonly run_id: string;
}

/** The epochs of the first and the last stored run of a thread. */
interface Range {
  readonly first: number | null;
  readonly last: number | null;
}

interface Making extends Pick<ViewRequest, "threadId" | "since"> {
  readonly upToId: number;
  readonly kept: KeptRow | null;
}

/** Makes the views of threads from the runs behind the views that are kept, and keeps them. */
export class Views {
  readonly #options: ViewsOptions;

  constructor(options: ViewsOptions) {
    this.#options = options;
  }

  async read(request: ViewRequest): Promise<ViewMessage> {
    const { threadId, since } = request;
    for (;;) {
      const { first, last } = await this.#range(threadId);
      const upToId = last === null ? 0 : await this.#lastOf(request, last);
      const view = await this.#makeFromKept(threadId, upToId, since);
      // If runs were removed in the middle, the view is of no moment: the oldest runs are removed first.
      if ((await this.#range(threadId)).first === first) return view;
    }
  }

  /** The whole input of a stored run. */
  async readRunInput(threadId: string, row: number): Promise<RunInputMessage> {
    type Row = StoredEventsRow & StoredInputRow & { readonly run_id: string };
    const { connection, statements, compactor } = this.#options;
    const [stored] = await this.#query<Row>(statements.runOfInput, [toStored(threadId), row]);
    if (stored === undefined) return { found: null };
    const spans = [stored.shared_events, stored.shared_input].flatMap((json) => spansIn(json));
    const asked = [{ threadId, epoch: row, spans }];
    const read = await connection.use((send) => readChunks(send, statements, asked));
    const chunks = read.get(threadId) ?? [];
    const view = await this.read({ threadId, upToId: row - 1, leaveOut: 0, since: null });
    const { run_id, ...run } = stored;
    const request = { threadId, runId: fromStored(run_id), view, run, chunks };
    return { found: await compactor.makeRunInput(request) };
  }

  async keep({ threadId, upToId, runs, packed }: KeepViewRequest): Promise<void> {
    const { connection, statements } = this.#options;
    const id = toStored(threadId);
    // No run is removed while the runs are counted and the view is written: no view of removed runs is kept.
    await connection.use(async (send) => {
      const answers = await Promise.allSettled([
        send(statements.begin),
        send(statements.holdThread, [id]),
        send(statements.keepView, [id, upToId, runs, packed]),
        send(statements.commit),
      ]);
      for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    });
    const rows = await this.#query<Omit<KeptRow, "view">>(statements.keptViews, [id]);
    const kept = rows.map(({ up_to, runs: count }) => ({ upToId: up_to, runs: count }));
    const dropped = viewsToDrop(kept, upToId, packed.length).map((view) => view.upToId);
    if (dropped.length > 0) await this.#query(statements.dropViews, [id, bigintArray(dropped)]);
  }

  async #range(threadId: string): Promise<Range> {
    const { firstAndLastRun } = this.#options.statements;
    const [range] = await this.#query<Range>(firstAndLastRun, [toStored(threadId)]);
    return range ?? { first: null, last: null };
  }

  /** The last run of the view that is asked for, of a thread with this last run. */
  async #lastOf({ threadId, upToId, leaveOut }: ViewRequest, last: number): Promise<number> {
    const wanted = upToId ?? last;
    if (leaveOut === 0) return wanted;
    const values = [toStored(threadId), wanted, leaveOut];
    const { runBeforeLast } = this.#options.statements;
    const [before] = await this.#query<{ epoch: number }>(runBeforeLast, values);
    return before?.epoch ?? 0;
  }

  async #makeFromKept(
    threadId: string,
    upToId: number,
    since: number | null,
  ): Promise<ViewMessage> {
    const { keptView } = this.#options.statements;
    const values = [toStored(threadId), since ?? upToId];
    const [kept] = await this.#query<KeptRow>(keptView, values);
    const view = await this.#make({ threadId, upToId, since, kept: kept ?? null });
    // Where another program has written the view, it is made from the first run.
    return view ?? ((await this.#make({ threadId, upToId, since, kept: null })) as ViewMessage);
  }

  /** Null when the view that was kept is none. */
  async #make({ threadId, upToId, since, kept }: Making): Promise<ViewMessage | null> {
    const { compactor } = this.#options;
    const keptBytes = kept?.view.length ?? null;
    let start = kept?.view ?? null;
    let afterId = kept?.up_to ?? 0;
    let runs = kept?.runs ?? 0;
    let lengthBefore = 0;
    for (;;) {
      const { rows, chunks } = await this.#runs(threadId, afterId, upToId);
      const begunAfter = afterId;
      afterId = rows.at(-1)?.epoch ?? upToId;
      runs += rows.length;
      const isLast = afterId >= upToId;
      const step = await compactor.makeView({
        ...{ threadId, start, chunks, lengthBefore, keptBytes, isLast },
        runs: rows.map(({ run_id, events, shared_events }) => ({
          runId: fromStored(run_id),
          ...{ events, shared_events },
        })),
        // Both views are in memory together only in one step.
        runsToSince:
          since === null || !isLast || since < begunAfter
            ? null
            : rows.filter(({ epoch }) => epoch <= since).length,
      });
      if (!step.isRestored) return null;
      const { rest, messages, same, packed } = step;
      if (isLast)
        return {
          rest,
          messages,
          same,
          upToId,
          runs,
          changedRuns: 0,
          packed,
          keptBytes: keptBytes ?? 0,
        };
      start = packed;
      lengthBefore = step.length;
    }
  }

  async #runs(threadId: string, afterId: number, upToId: number) {
    const { connection, statements } = this.#options;
    const values = [toStored(threadId), afterId, upToId, STEP_BYTES, STEP_RUNS];
    return connection.use(async (send) => {
      const rows = (await send(statements.runsOfView, values)).rows as RunRow[];
      const spans = rows.flatMap((row) => spansIn(row.shared_events));
      const chunks = await readChunks(send, statements, [{ threadId, spans }]);
      return { rows, chunks: chunks.get(threadId) ?? [] };
    });
  }

  async #query<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const { rows } = await this.#options.connection.use((send) => send(statement, values));
    return rows as Row[];
  }
}
