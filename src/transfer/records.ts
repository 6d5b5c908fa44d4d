import type { EventLike } from "../events/event.ts";
import type { ForkOrigin, RunOutcome, ThreadMetadata } from "../store/thread-store.ts";

/** The format of the records that this version writes. Records of a later format are refused. */
export const EXPORT_FORMAT = 1;

/** A thread without its runs. They follow, oldest first. All times are in milliseconds since the epoch. */
export interface ThreadRecord {
  readonly type: "thread";
  readonly format: typeof EXPORT_FORMAT;
  readonly threadId: string;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /** The agent of its last run. */
  readonly agentId: string | null;
  /** The title that was set. Null for the default title. */
  readonly title: string | null;
  readonly metadata: ThreadMetadata;
  readonly archived: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly forkedFrom: ForkOrigin | null;
  /** The number of the last claim of the thread: the next run gets a higher one. */
  readonly epoch: number;
}

/** Messages that a thread knows, although no run has them any more: clients that send them again add nothing. */
export interface MessagesRecord {
  readonly type: "messages";
  readonly threadId: string;
  /** Ids, and digests of the content: 0 where it is not known. */
  readonly messages: readonly (readonly [id: string, digest: number])[];
}

/** A stored run with its first events. */
export interface RunRecord {
  readonly type: "run";
  readonly threadId: string;
  readonly runId: string;
  /** The run's place in the thread. 0 for a run of version 1, which has none. */
  readonly epoch: number;
  readonly agentId: string | null;
  readonly endedAt: number;
  readonly outcome: RunOutcome;
  readonly errorCode: string | null;
  /** The RunAgentInput as it is stored. */
  readonly input: unknown;
  /** Instead of `input`: the stored text where that is no JSON. */
  readonly inputText?: string;
  /** The events as they are stored. The rest of a long run follows in `EventsRecord`s. */
  readonly events: readonly EventLike[];
  /** Instead of `events`: the stored text where that is no JSON array. */
  readonly eventsText?: string;
  /** Whether these are all its events. */
  readonly isLast: boolean;
}

/** More events of the run before. */
export interface EventsRecord {
  readonly type: "events";
  readonly threadId: string;
  readonly events: readonly EventLike[];
  /** Whether the run has no more events. */
  readonly isLast: boolean;
}

/** The end of a thread. */
export interface ThreadEndRecord {
  readonly type: "end";
  readonly threadId: string;
  readonly runs: number;
  /** SHA-256 of the thread's records, in hexadecimal digits. */
  readonly checksum: string;
}

/** The thread was removed or shortened while it was read: what came of it is void. It may come again. */
export interface VoidRecord {
  readonly type: "void";
  readonly threadId: string;
}

/** The end of an export. */
export interface TotalRecord {
  readonly type: "total";
  readonly threads: number;
  readonly runs: number;
}

/** What an export consists of. In NDJSON, each is a line. */
export type ExportRecord =
  | ThreadRecord
  | MessagesRecord
  | RunRecord
  | EventsRecord
  | ThreadEndRecord
  | VoidRecord
  | TotalRecord;
