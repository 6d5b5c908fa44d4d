import type { PlacesRow } from "../../events/shared/places.ts";
import type { LargeEvent } from "../../events/shared/repeating.ts";
import type { SharedThread } from "../../protocol/compactor-messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import { bigintArray, textArray, xidArray } from "./binary-arrays.ts";
import type { Send } from "./connection.ts";
import type { PgResult } from "./driver.ts";
import type { Statements } from "./statements.ts";
import { toStored, toStoredOrNull } from "./stored-ids.ts";
import type { ThreadRow } from "./thread-row.ts";
import { chunkValues } from "./values/chunks.ts";
import { mayShare, type SharingContext, shareValues } from "./values/share-values.ts";

export interface RunRow extends RunKey {
  readonly runId: string;
  readonly agentId: string | null;
  readonly finishedAt: number;
  /** JSON of the RunAgentInput. */
  readonly input: string;
  /** JSON of the messages that no earlier run has, or empty. */
  readonly messages: string;
  /** JSON array of events. */
  readonly events: string;
  /** The events that may repeat values of other runs. */
  readonly large: readonly LargeEvent[];
}

/** A run as its row holds it. */
interface StoredRunRow extends RunRow, PlacesRow {}

export interface SegmentRow extends RunKey {
  /** -1 for the input of the run. */
  readonly seq: number;
  readonly events: string;
}

/** Messages of runs that are packed into one row. */
export interface MessagePack {
  readonly threadId: string;
  /** The epoch of the last of these runs. */
  readonly epoch: number;
  readonly messages: string;
}

/** What a transaction is to write, gathered so that one statement a table writes it. */
export class RowWrites {
  readonly #runs = new Map<string, StoredRunRow>();
  /** By thread, what its runs share. */
  #shared: ReadonlyMap<string, SharedThread> = new Map();
  readonly #segments = new Map<string, SegmentRow>();
  readonly #packs: MessagePack[] = [];
  readonly #deletedJournals: RunKey[] = [];

  addRun(run: RunRow): void {
    this.#runs.set(keyOf(run), { ...run, shared_events: null, shared_input: null });
  }

  addPack(pack: MessagePack): void {
    this.#packs.push(pack);
  }

  addSegment(segment: SegmentRow): void {
    this.#segments.set(`${segment.seq} ${keyOf(segment)}`, segment);
  }

  deleteJournal(run: RunKey): void {
    this.#deletedJournals.push(run);
  }

  hasRun(run: RunKey): boolean {
    return this.#runs.has(keyOf(run));
  }

  /** The segments of a run, by seq. */
  segmentsOf({ threadId, epoch }: RunKey): Map<number, string> {
    const segments = new Map<number, string>();
    for (const segment of this.#segments.values()) {
      if (segment.threadId !== threadId || segment.epoch !== epoch) continue;
      segments.set(segment.seq, segment.events);
    }
    return segments;
  }

  /** Takes the values out of the runs that other runs of their threads have too. Called once, before `send`. */
  async shareValues(
    context: SharingContext,
    threads: ReadonlyMap<string, ThreadRow>,
  ): Promise<void> {
    const runs = [...this.#runs].filter(([, run]) => mayShare(run));
    if (runs.length === 0) return;
    const wholeRuns = runs.map(([, run]) => run);
    this.#shared = await shareValues(context, wholeRuns, threads);
    const byThread = new Map([...this.#shared].map(([id, { runs: own }]) => [id, [...own]]));
    for (const [key, run] of runs) {
      const shared = byThread.get(run.threadId)?.shift();
      if (shared === undefined) continue;
      const { events, input, sharedEvents, sharedInput } = shared;
      const places = { shared_events: sharedEvents, shared_input: sharedInput };
      this.#runs.set(key, { ...run, events, input, ...places });
    }
    for (const [threadId, { state }] of this.#shared) {
      const row = threads.get(threadId);
      if (state !== null && row !== undefined) row.values = state;
    }
  }

  /**
   * Writes the rows of threads. Fails when one of them is not the row that the transaction took it to be, and the
   * server then executes nothing more of the transaction. Resolves with the `xmin` of these rows.
   */
  saveThreads(
    send: Send,
    { saveThreads }: Statements,
    rows: readonly ThreadRow[],
  ): Promise<PgResult> {
    return send(saveThreads, threadValues(rows));
  }

  /** Sends the statements that write all other rows. */
  send(send: Send, statements: Statements): Promise<unknown>[] {
    const runs = [...this.#runs.values()];
    const segments = [...this.#segments.values()];
    const deleted = this.#deletedJournals;
    const packs = this.#packs;
    const sent: Promise<unknown>[] = [];
    if (runs.length > 0) sent.push(send(statements.addRuns, runValues(runs)));
    sent.push(...this.#sendShared(send, statements));
    if (segments.length > 0) sent.push(send(statements.addSegments, segmentValues(segments)));
    if (deleted.length > 0) sent.push(send(statements.deleteJournals, keyValues(deleted)));
    if (packs.length > 0) sent.push(send(statements.addMessages, packValues(packs)));
    return sent;
  }

  #sendShared(send: Send, statements: Statements): Promise<unknown>[] {
    const chunks = [...this.#shared].flatMap(([threadId, { chunks: own }]) =>
      own.map((chunk) => ({ threadId, ...chunk })),
    );
    return chunks.length === 0 ? [] : [send(statements.addChunks, chunkValues(chunks))];
  }
}

/** The parameters of a statement about runs. */
export function keyValues(runs: readonly RunKey[]): readonly Buffer[] {
  return [
    textArray(runs.map(({ threadId }) => toStored(threadId))),
    bigintArray(runs.map(({ epoch }) => epoch)),
  ];
}

function threadValues(rows: readonly ThreadRow[]): readonly unknown[] {
  return [
    ...assumedValues(rows),
    bigintArray(rows.map(({ epoch }) => epoch)),
    textArray(rows.map(({ claim }) => toStoredOrNull(claim?.runId ?? null))),
    textArray(rows.map(({ claim }) => claim?.ownerId ?? null)),
    bigintArray(rows.map(({ claim }) => claim?.claimNumber ?? null)),
    bigintArray(rows.map(({ stop }) => stop)),
    textArray(rows.map(({ resourceId }) => toStoredOrNull(resourceId ?? null))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ runs }) => runs)),
    bigintArray(rows.map(({ values }) => values.version)),
    bigintArray(rows.map(({ values }) => values.lastLog)),
    rows.length,
    serverOf(rows),
  ];
}

/** Which rows the transaction takes them to be. */
export function assumedValues(rows: readonly ThreadRow[]): readonly Buffer[] {
  return [
    textArray(rows.map(({ threadId }) => toStored(threadId))),
    xidArray(rows.map(({ version }) => version?.xmin ?? 0)),
  ];
}

/** The rows of a transaction are all of one server. */
export const serverOf = ([row]: readonly ThreadRow[]) => row?.version?.server ?? null;

function runValues(rows: readonly StoredRunRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    textArray(rows.map(({ runId }) => toStored(runId))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ finishedAt }) => finishedAt)),
    textArray(rows.map(({ input }) => input)),
    textArray(rows.map(({ messages }) => messages)),
    textArray(rows.map(({ events }) => events)),
    textArray(rows.map(({ shared_input }) => shared_input)),
    textArray(rows.map(({ shared_events }) => shared_events)),
  ];
}

function packValues(packs: readonly MessagePack[]): readonly Buffer[] {
  return [...keyValues(packs), textArray(packs.map(({ messages }) => messages))];
}

function segmentValues(rows: readonly SegmentRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    bigintArray(rows.map(({ seq }) => seq)),
    textArray(rows.map(({ events }) => events)),
  ];
}
