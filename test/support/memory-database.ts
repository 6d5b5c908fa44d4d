import { compactRun } from "../../src/events/compact/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { digestsOf, type MessageDigest, UNKNOWN_DIGEST } from "../../src/events/message-digests.ts";
import type { RunStoreError } from "../../src/protocol/errors.ts";
import type {
  FollowMessage,
  FollowRequest,
  HistoryPageMessage,
  HoldingRun,
  PageRequest,
  PageSegment,
} from "../../src/protocol/messages.ts";
import { keyOf, type RunKey } from "../../src/protocol/run-key.ts";
import { isVisible, type Scope } from "../../src/protocol/scope.ts";

/** UTF-16 units of JSON that a page holds at most, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;

export interface Holder {
  readonly runId: string;
  readonly ownerId: string;
  readonly claimNumber: number;
}

export interface ThreadRow {
  readonly threadId: string;
  /** The last epoch of the thread. */
  epoch: number;
  /** Whose thread it is. Undefined for a thread that was not claimed, or of which nothing was stored. */
  resourceId: string | null | undefined;
  /** The claim that holds the thread, or null. */
  holder: Holder | null;
  /** What another instance wants of the run that holds the thread. */
  stop: "stop" | "discard" | null;
}

export interface RunRow extends RunKey {
  readonly runId: string;
  /** JSON array of events. */
  readonly events: string;
  /** By message id, the digest of the message. */
  readonly messages: ReadonlyMap<string, number>;
}

/** What was appended to a run before its end, and with its end. It stays, for those who follow the run. */
export interface Journal {
  input: string | null;
  /** JSON arrays of events, by their seq. */
  readonly segments: string[];
}

export interface InstanceRow {
  readonly instanceId: string;
  readonly leaseMs: number;
  beat: number;
  /** The kernel says that its process is gone. */
  isGone: boolean;
}

/** The rows that `MemoryBackend`s share. It stands for the disk: it outlives the backends. */
export class MemoryDatabase {
  readonly threads = new Map<string, ThreadRow>();
  /** In the order in which they were stored. A run's id is its place, from 1. */
  readonly runs: RunRow[] = [];
  /** By `keyOf` the run. */
  readonly journals = new Map<string, Journal>();
  readonly instances = new Map<string, InstanceRow>();
  /** Every claim that took a thread, and the claim that held the thread before. */
  readonly taken: (RunKey & { readonly by: Holder; readonly from: Holder | null })[] = [];
  /** What a write of this instance meets instead of the disk, or null. Tests set it. */
  writeFault: (instanceId: string) => RunStoreError | null = () => null;
  /** By instance id, who is told that another instance has written. */
  readonly listeners = new Map<string, () => void>();

  /** Tells all instances but the one that has written. */
  changed(writerId: string): void {
    for (const [id, tell] of this.listeners) if (id !== writerId) tell();
  }

  threadRow(threadId: string): ThreadRow {
    const known = this.threads.get(threadId);
    if (known !== undefined) return known;
    const row: ThreadRow = {
      threadId,
      epoch: 0,
      resourceId: undefined,
      holder: null,
      stop: null,
    };
    this.threads.set(threadId, row);
    return row;
  }

  isVisible(threadId: string, scope: Scope): boolean {
    return isVisible(scope, this.threads.get(threadId)?.resourceId ?? null);
  }

  journalOf(run: RunKey): Journal {
    return this.journals.get(keyOf(run)) ?? { input: null, segments: [] };
  }

  eventsOf({ segments }: Journal): EventLike[] {
    return segments.flatMap((json) => JSON.parse(json) as EventLike[]);
  }

  store(run: RunKey & { readonly runId: string }, events: EventLike[], input: string | null): void {
    const hasDelta = events.some(({ type }) => type === "STATE_DELTA");
    const { state } = JSON.parse(hasDelta ? (input ?? "{}") : "{}") as { state?: unknown };
    const compacted = compactRun(events, hasDelta ? { state } : {});
    this.storeCompact(run, JSON.stringify(compacted), digestsOf(events));
  }

  storeCompact(
    { threadId, epoch, runId }: RunKey & { readonly runId: string },
    events: string,
    messages: Iterable<MessageDigest>,
  ): void {
    this.runs.push({ threadId, epoch, runId, events, messages: new Map(messages) });
  }

  storedRun({ threadId, epoch, runId }: RunKey & { readonly runId?: string }): RunRow | undefined {
    const run = this.runs.findLast((row) => row.threadId === threadId && row.epoch === epoch);
    return runId === undefined || run?.runId === runId ? run : undefined;
  }

  /** Which messages stored runs of the thread have, by position, and which of those with another content. */
  compare(threadId: string, ids: readonly string[], digests: readonly number[]) {
    const rows = this.runs.filter((row) => row.threadId === threadId);
    const stored = ids.map((id) =>
      rows.findLast(({ messages }) => messages.has(id))?.messages.get(id),
    );
    const isChanged = (at: number) => {
      const [given = UNKNOWN_DIGEST, known = UNKNOWN_DIGEST] = [digests[at], stored[at]];
      return given !== known && given !== UNKNOWN_DIGEST && known !== UNKNOWN_DIGEST;
    };
    const changed = [...ids.keys()].filter(isChanged);
    return { seen: stored.map((digest) => digest !== undefined), changed };
  }

  /** `live` is the run that holds the thread, if its owner is alive. */
  page({ threadId, cursor, runs }: PageRequest, live: HoldingRun | null): HistoryPageMessage {
    const { epoch, holder } = this.threads.get(threadId) ?? { epoch: 0, holder: null };
    const endedUpTo = holder === null ? epoch : epoch - 1;
    const now = cursor === null ? { live, endedUpTo } : { live: null, endedUpTo: 0 };
    const start = {
      afterId: this.#placeOfLast(threadId, runs),
      chunk: 0,
      upToId: this.runs.length,
    };
    const { upToId, ...from } = cursor ?? start;
    const segments: PageSegment[] = [];
    let { afterId, chunk } = from;
    let length = 0;
    for (; afterId < upToId; afterId++) {
      const run = this.runs[afterId];
      if (run?.threadId !== threadId) continue;
      const chunks = chunksOf(run.events);
      for (; chunk < chunks.length; chunk++) {
        const events = chunks[chunk] ?? "[]";
        length += events.length;
        if (segments.length > 0 && length > PAGE_LENGTH) {
          return { segments, next: { afterId, chunk, upToId }, ...now };
        }
        const last = chunk === chunks.length - 1;
        segments.push({ runId: run.runId, first: chunk === 0, last, events });
      }
      chunk = 0;
    }
    return { segments, next: null, ...now };
  }

  /** Where the last runs of a thread begin, so many of them; null for all. */
  #placeOfLast(threadId: string, runs: number | null): number {
    if (runs === null) return 0;
    const places = [...this.runs.keys()].filter((at) => this.runs[at]?.threadId === threadId);
    return places[Math.max(0, places.length - runs)] ?? this.runs.length;
  }

  /** `FollowRequest.afterId` counts the segments that are known. */
  follow({ threadId, epoch, afterId, begun }: FollowRequest): FollowMessage {
    const thread = this.threads.get(threadId);
    const running = thread?.epoch === epoch && thread.holder !== null;
    const stored = running || begun ? null : (this.storedRun({ threadId, epoch })?.events ?? null);
    const { segments } = this.journalOf({ threadId, epoch });
    const news = stored === null ? segments.slice(afterId) : [];
    return { segments: news, afterId: segments.length, more: false, running, stored };
  }
}

/** A JSON array in several, each at most a page long. */
function chunksOf(json: string): string[] {
  if (json.length <= PAGE_LENGTH) return [json];
  const chunks: string[][] = [];
  let length = PAGE_LENGTH;
  for (const event of JSON.parse(json) as unknown[]) {
    const part = JSON.stringify(event);
    length += part.length + 1;
    if (length > PAGE_LENGTH) {
      chunks.push([]);
      length = part.length + 2;
    }
    chunks.at(-1)?.push(part);
  }
  return chunks.map((parts) => `[${parts.join()}]`);
}
