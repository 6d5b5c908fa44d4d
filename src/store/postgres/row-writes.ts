import type { MessageDigest } from "../../events/message-digests.ts";
import type { PlacesRow } from "../../events/shared/places.ts";
import type { LargeEvent } from "../../events/shared/repeating.ts";
import type { SharedThread } from "../../protocol/compactor-messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import { bigintArray, textArray } from "./binary-arrays.ts";
import type { Send } from "./connection.ts";
import type { Statements } from "./statements.ts";
import { toStored, toStoredMessage, toStoredOrNull } from "./stored-ids.ts";
import type { ThreadRow } from "./thread-row.ts";
import { chunkValues, versionValues } from "./values/chunks.ts";
import { mayShare, type SharingContext, shareValues } from "./values/share-values.ts";

export interface RunRow extends RunKey {
  readonly runId: string;
  readonly agentId: string | null;
  readonly finishedAt: number;
  /** JSON of the RunAgentInput. */
  readonly input: string;
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

interface MessageRow {
  readonly digest: number;
  /** Of the first run that has it, unless an earlier one is stored. */
  readonly epoch: number;
}

/** What a transaction is to write, gathered so that one statement a table writes it. */
export class RowWrites {
  readonly #runs = new Map<string, StoredRunRow>();
  /** By thread, what its runs share. */
  #shared: ReadonlyMap<string, SharedThread> = new Map();
  readonly #segments = new Map<string, SegmentRow>();
  /** By thread, the messages of its runs. */
  readonly #messages = new Map<string, Map<string, MessageRow>>();
  readonly #deletedJournals: RunKey[] = [];

  addRun(run: RunRow, messages: readonly MessageDigest[]): void {
    this.#runs.set(keyOf(run), { ...run, shared_events: null, shared_input: null });
    const rows = this.#messages.get(run.threadId) ?? new Map<string, MessageRow>();
    this.#messages.set(run.threadId, rows);
    for (const [messageId, digest] of messages) {
      const id = toStoredMessage(messageId);
      rows.set(id, { digest, epoch: rows.get(id)?.epoch ?? run.epoch });
    }
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

  /** The digest of a message that this transaction stores. `id` as it is stored. */
  digestOf(threadId: string, id: string): number | undefined {
    return this.#messages.get(threadId)?.get(id)?.digest;
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
  }

  /** Sends the statements that write these rows and `threads`. */
  send(send: Send, statements: Statements, threads: readonly ThreadRow[]): Promise<unknown>[] {
    const runs = [...this.#runs.values()];
    const segments = [...this.#segments.values()];
    const deleted = this.#deletedJournals;
    const messages = [...this.#messages].flatMap(([threadId, rows]) =>
      Array.from(rows, ([id, row]) => ({ threadId: toStored(threadId), id, ...row })),
    );
    const sent: Promise<unknown>[] = [];
    if (threads.length > 0) sent.push(send(statements.saveThreads, threadValues(threads)));
    if (runs.length > 0) sent.push(send(statements.addRuns, runValues(runs)));
    sent.push(...this.#sendShared(send, statements));
    if (segments.length > 0) sent.push(send(statements.addSegments, segmentValues(segments)));
    if (deleted.length > 0) sent.push(send(statements.deleteJournals, keyValues(deleted)));
    if (messages.length > 0) {
      const values = [
        textArray(messages.map(({ threadId }) => threadId)),
        textArray(messages.map(({ id }) => id)),
        bigintArray(messages.map(({ digest }) => digest)),
        bigintArray(messages.map(({ epoch }) => epoch)),
      ];
      sent.push(send(statements.addMessages, values));
    }
    return sent;
  }

  #sendShared(send: Send, statements: Statements): Promise<unknown>[] {
    const states = [...this.#shared].flatMap(([threadId, { state }]) =>
      state === null ? [] : { threadId, ...state },
    );
    if (states.length === 0) return [];
    const chunks = [...this.#shared].flatMap(([threadId, { chunks: own }]) =>
      own.map((chunk) => ({ threadId, ...chunk })),
    );
    const sent: Promise<unknown>[] = [send(statements.saveVersions, versionValues(states))];
    if (chunks.length > 0) sent.push(send(statements.addChunks, chunkValues(chunks)));
    return sent;
  }
}

/** The parameters of a statement about runs. */
export function keyValues(runs: readonly RunKey[]): readonly Buffer[] {
  return [
    textArray(runs.map(({ threadId }) => toStored(threadId))),
    bigintArray(runs.map(({ epoch }) => epoch)),
  ];
}

function threadValues(rows: readonly ThreadRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    textArray(rows.map(({ claim }) => toStoredOrNull(claim?.runId ?? null))),
    textArray(rows.map(({ claim }) => claim?.ownerId ?? null)),
    bigintArray(rows.map(({ claim }) => claim?.claimNumber ?? null)),
    bigintArray(rows.map(({ stop }) => stop)),
    textArray(rows.map(({ resourceId }) => toStoredOrNull(resourceId ?? null))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ runs }) => runs)),
  ];
}

function runValues(rows: readonly StoredRunRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    textArray(rows.map(({ runId }) => toStored(runId))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ finishedAt }) => finishedAt)),
    textArray(rows.map(({ input }) => input)),
    textArray(rows.map(({ events }) => events)),
    textArray(rows.map(({ shared_input }) => shared_input)),
    textArray(rows.map(({ shared_events }) => shared_events)),
  ];
}

function segmentValues(rows: readonly SegmentRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    bigintArray(rows.map(({ seq }) => seq)),
    textArray(rows.map(({ events }) => events)),
  ];
}
