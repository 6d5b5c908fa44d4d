import type {
  EventLike,
  HeldThread,
  Journal,
  Message,
  RunnerInstance,
  RunOutcome,
  RunSummary,
  ThreadSummary,
  TokenUsage,
} from "../index.ts";

/*
 * The JSON API between the inspector's page and its server. Only types: the page imports them with `import type`.
 *
 * The page is served at `/TOKEN/`, its files below `/TOKEN/assets/`, and the API below `/TOKEN/api/`. The token is
 * a part of the path, so that it is checked on each request, and so that no cookie goes to other servers on this
 * machine. The page names everything relative to its document ("api/threads?limit=50"), and never reads the token. It
 * keeps its own places in the query or behind "#": the path of its document does not change.
 *
 * Ids of threads may hold any characters, "/" and ".." too. They are given in the query, by `URLSearchParams`.
 *
 * All times are milliseconds since the epoch. All sizes are UTF-8 bytes of JSON. A failure has a status of 400 or
 * more and the body `ApiFailure`.
 */

export type {
  EventLike,
  HeldThread,
  Message,
  RunnerInstance,
  RunOutcome,
  RunSummary,
  ThreadSummary,
  TokenUsage,
} from "../index.ts";

/** Each route by its method and path: what its query and body hold, and what it answers with. */
export interface Api {
  "GET api/database": { readonly query: NoQuery; readonly answer: DatabaseAnswer };
  "GET api/totals": { readonly query: NoQuery; readonly answer: TotalsAnswer };
  "GET api/threads": { readonly query: ThreadsQuery; readonly answer: ThreadsAnswer };
  "GET api/thread": { readonly query: ThreadQuery; readonly answer: ThreadAnswer };
  "GET api/messages": { readonly query: MessagesQuery; readonly answer: MessagesAnswer };
  "GET api/state": { readonly query: StateQuery; readonly answer: StateAnswer };
  "GET api/runs": { readonly query: RunsQuery; readonly answer: RunsAnswer };
  "GET api/run": { readonly query: RunQuery; readonly answer: RunAnswer };
  "GET api/run/input": { readonly query: RunQuery; readonly answer: InputAnswer };
  "GET api/run/messages": { readonly query: RunQuery; readonly answer: RunMessagesAnswer };
  "GET api/run/state": { readonly query: RunQuery; readonly answer: RunStateAnswer };
  "GET api/run/events": { readonly query: EventsQuery; readonly answer: EventsAnswer };
  "GET api/run/event": { readonly query: EventQuery; readonly answer: EventAnswer };
  "GET api/run/timeline": { readonly query: RunQuery; readonly answer: TimelineAnswer };
  "GET api/holders": { readonly query: NoQuery; readonly answer: HoldersAnswer };
  "GET api/recovered": { readonly query: RecoveredQuery; readonly answer: RecoveredAnswer };
  "POST api/stop": {
    readonly query: NoQuery;
    readonly body: StopBody;
    readonly answer: StopAnswer;
  };
}
/* "GET api/live" is a stream for an `EventSource`: see `LiveMessages`. Its query is `ThreadQuery`. */

/** As texts: a query has nothing else. Numbers are written in decimal, booleans as "true" and "false". */
export type NoQuery = Readonly<Record<never, never>>;

export interface ApiFailure {
  readonly error: {
    readonly code: ApiErrorCode;
    /** In English, for people. */
    readonly message: string;
  };
}

/**
 * What went wrong. Beside these, the codes of `RunStoreError`: `BUSY`, `CORRUPT`, `CANNOT_CONNECT`, ... with status 503.
 *
 * - `INVALID_REQUEST` (400): a parameter is missing or wrong, the message says which
 * - `INVALID_CURSOR` (400): the cursor belongs to another query: begin without one
 * - `FORBIDDEN` (403): wrong token, Host or Origin; also after a restart of the inspector, which has a new token
 * - `THREAD_NOT_FOUND`, `RUN_NOT_FOUND`, `EVENT_NOT_FOUND`, `NOT_FOUND` (404; the last one: no such route)
 * - `METHOD_NOT_ALLOWED` (405)
 * - `TOO_LARGE` (413): a single answer would be too long
 * - `INTERNAL` (500)
 */
export type ApiErrorCode =
  | "INVALID_REQUEST"
  | "INVALID_CURSOR"
  | "FORBIDDEN"
  | "THREAD_NOT_FOUND"
  | "RUN_NOT_FOUND"
  | "EVENT_NOT_FOUND"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "TOO_LARGE"
  | "INTERNAL"
  | (string & {});

/* ---- The database ---- */

export interface DatabaseAnswer {
  /** Of the package. */
  readonly version: string;
  readonly kind: "sqlite" | "postgres";
  /** The path of the file, or the URL without its password. */
  readonly name: string;
  /** Of the server's clock, to show ages by. */
  readonly now: number;
  /** The file. Null for PostgreSQL. */
  readonly file: {
    readonly bytes: number;
    /** In pages that are free, and will be used again. */
    readonly freeBytes: number;
    readonly walBytes: number;
    readonly schemaVersion: number;
  } | null;
}

/** Counted over all threads, at most a few seconds ago. */
export interface TotalsAnswer {
  readonly countedAt: number;
  readonly threads: number;
  readonly archived: number;
  readonly running: number;
  /** Threads whose last run ended with an error. */
  readonly failed: number;
  readonly runs: number;
  readonly messages: number;
  readonly bytes: number;
  /** Null if no agent told of its usage. */
  readonly tokens: TokenUsage | null;
  readonly updatedAt: number | null;
  /** By agent, most threads first. Null for threads without an agent. */
  readonly agents: readonly { readonly agentId: string | null; readonly threads: number }[];
  /** Resources with the most threads, at most 100. Null for threads of nobody. */
  readonly resources: readonly { readonly resourceId: string | null; readonly threads: number }[];
  /** Threads by the day (UTC) on which they were updated last, oldest first, of the last 60 days. */
  readonly days: readonly { readonly day: number; readonly threads: number }[];
}

/* ---- Threads ---- */

/** `running`: a run executes. The others: how the last stored run ended, of threads where no run executes. */
export type ThreadStatus = "running" | RunOutcome;

export interface ThreadsQuery {
  /** Words. Each must begin a word of the title or of the text of one of the thread's messages. */
  readonly search?: string;
  readonly agent?: string;
  /** Threads of this resource. */
  readonly resource?: string;
  /** "true" for archived threads alone, "false" for all others. Default: both. */
  readonly archived?: string;
  /** A `ThreadStatus`. */
  readonly status?: string;
  /** JSON of an object: only threads whose metadata has each of these fields. */
  readonly metadata?: string;
  /** "updated" (default) or "created", newest first. */
  readonly order?: string;
  /** From 1 to 500. Default 50. */
  readonly limit?: string;
  /** `nextCursor` of the page before. */
  readonly cursor?: string;
}

export interface ThreadsAnswer {
  /**
   * With `status`, a page may have fewer threads than asked for, none even, although there are more: ask on while
   * `nextCursor` is not null.
   */
  readonly threads: readonly ThreadSummary[];
  readonly nextCursor: string | null;
}

export interface ThreadQuery {
  readonly thread: string;
}

export interface ThreadAnswer {
  readonly thread: ThreadSummary;
  /** The run that executes now. */
  readonly live: HeldThread | null;
  /** From its parent upwards. Each was forked from the next one. */
  readonly ancestors: readonly Relative[];
  /** Threads that were forked from this one, newest first, at most 200. A fork is missing for some seconds at first. */
  readonly forks: readonly Relative[];
  /** False while a very long list is looked through for them: ask again later. `forks` is empty then. */
  readonly areForksKnown: boolean;
}

export interface Relative {
  readonly threadId: string;
  /** The last run that it has in common with its parent (of an ancestor: with its child). */
  readonly runId: string;
  /** Null for a thread that was removed. */
  readonly thread: Pick<ThreadSummary, "title" | "createdAt" | "runs" | "archived"> | null;
}

export interface MessagesQuery extends ThreadQuery {
  /** The thread as it was after this run. Default: after its last stored run. */
  readonly epoch?: string;
  readonly run?: string;
  /** Index of the first message. Default: the last `limit` messages. */
  readonly from?: string;
  /** From 1 to 500. Default 100. The page may be shorter where messages are long. */
  readonly limit?: string;
}

/** What a client of the thread holds. */
export interface MessagesAnswer {
  /** Epoch of the last run that these messages are of. Null if none is stored. */
  readonly epoch: number | null;
  readonly total: number;
  /** Index of the first of these messages. */
  readonly from: number;
  readonly messages: readonly Message[];
}

export interface StateQuery extends ThreadQuery {
  /** After this run. Default: after the last stored run. */
  readonly epoch?: string;
  readonly run?: string;
}

export interface StateAnswer {
  readonly state: unknown;
}

/* ---- Runs ---- */

export interface RunsQuery extends ThreadQuery {
  /** From 1 to 500. Default 50. */
  readonly limit?: string;
  readonly cursor?: string;
}

export interface RunsAnswer {
  /** Stored runs, oldest first. For durations and counts of one of them, ask "api/run". */
  readonly runs: readonly RunItem[];
  readonly nextCursor: string | null;
  /** The run that executes now, which no page has. */
  readonly live: HeldThread | null;
}

export interface RunItem extends RunSummary {
  /** Whether its process died, and another one ended the run: it ended with `RUN_INTERRUPTED`. */
  readonly isRecovered: boolean;
}

/** Which run: a run id may come again within a thread, and its epoch does not. */
export interface RunQuery extends ThreadQuery {
  /** `RunSummary.epoch`. */
  readonly epoch: string;
  /**
   * `RunSummary.runId`. Needed for runs of epoch 0 alone: those that version 1 stored all have it. So a key for lists
   * is the epoch and the run id together. Give both always.
   */
  readonly run?: string;
}

/** A run, for links to it. */
export interface RunRef {
  readonly epoch: number;
  readonly runId: string;
}

export interface RunAnswer {
  readonly run: RunItem | null;
  /** If the run executes now: then `run` is null, and the counts are those so far. */
  readonly live: HeldThread | null;
  readonly times: RunTimes;
  readonly events: number;
  /** By type, most frequent first. */
  readonly types: readonly {
    readonly type: string;
    readonly events: number;
    readonly bytes: number;
  }[];
  readonly toolCalls: number;
  readonly messages: number;
  /** What the agent told of its usage in this run. */
  readonly tokens: TokenUsage | null;
  /** Of the events, without the input. */
  readonly eventBytes: number;
  /** The RUN_ERROR. */
  readonly error: { readonly code: string | null; readonly message: string | null } | null;
  /** Of the RUN_FINISHED with interrupts, as the agent wrote it. */
  readonly interrupts: unknown;
  /** The runs before and after it, for "previous" and "next". */
  readonly previous: RunRef | null;
  readonly next: RunRef | null;
}

/**
 * Stored are the time when a run ended, and the `timestamp` of events that the agent gave one. Nothing else. Where
 * several deltas were merged, the merged event has the timestamp of the last one.
 */
export interface RunTimes {
  /** The claim, of a run that executes; else the first timestamp. Null if that is not known. */
  readonly startedAt: number | null;
  /** Null while it executes. */
  readonly endedAt: number | null;
  /** From `startedAt` to `endedAt`. Null if one is not known. */
  readonly durationMs: number | null;
  /** How many events have a timestamp. */
  readonly timedEvents: number;
}

export interface InputAnswer {
  /**
   * The input as it is stored: by default the messages new to the thread, and no `forwardedProps`. Null while the
   * run executes.
   */
  readonly input: unknown;
  readonly bytes: number;
}

/** What the run did to the conversation, to compare two runs by. */
export interface RunMessagesAnswer {
  /** How many messages there were before the run, and after it. */
  readonly before: number;
  readonly after: number;
  /** Messages that are new, in order. */
  readonly added: readonly Message[];
  readonly changed: readonly { readonly before: Message; readonly after: Message }[];
  /** Messages that went away, for instance because another answer was asked for. */
  readonly removed: readonly Message[];
}

export interface RunStateAnswer {
  readonly before: unknown;
  readonly after: unknown;
  /**
   * Each STATE_SNAPSHOT and STATE_DELTA, in order, at most 1000. When a run is stored, they are folded into one: what it
   * changed is then the difference of `before` and `after`.
   */
  readonly changes: readonly StateChange[];
  /** How many changes there are in all. */
  readonly total: number;
}

export interface StateChange {
  /** Of the event in its run. */
  readonly index: number;
  readonly at: number | null;
  readonly kind: "snapshot" | "delta";
  /** The new state, or a JSON Patch. Null if it is longer than 64 KiB: see "api/run/event". */
  readonly value: unknown;
  readonly bytes: number;
}

/* ---- Events ---- */

export interface EventsQuery extends RunQuery {
  /** Index of the first event to look at. Default 0. */
  readonly from?: string;
  /** From 1 to 1000. Default 200. A page ends early at about 512 KiB. */
  readonly limit?: string;
  /** Only events of these types, separated by commas. */
  readonly types?: string;
  /** Only events whose JSON has this text, in whatever case. */
  readonly search?: string;
}

export interface EventsAnswer {
  readonly events: readonly EventItem[];
  /** Events of the run. */
  readonly total: number;
  /** Events that `types` and `search` let through. `total` without these. */
  readonly matches: number;
  /** `from` of the next page. Null behind the last event. */
  readonly next: number | null;
  /** Whether the run executes, and so grows. Its events are numbered anew when it is stored: deltas are merged. */
  readonly isLive: boolean;
}

export interface EventItem {
  /** In the run, from 0. */
  readonly index: number;
  readonly type: string;
  /** The `timestamp` of the event, if its agent gave it one. */
  readonly at: number | null;
  readonly bytes: number;
  /** Null if it is longer than 32 KiB: then there is a `preview`, and "api/run/event" has all of it. */
  readonly event: EventLike | null;
  /** The beginning of the JSON of a long event. */
  readonly preview: string | null;
}

export interface EventQuery extends RunQuery {
  readonly index: string;
}

export interface EventAnswer {
  readonly item: EventItem & { readonly event: EventLike };
}

/* ---- The timeline ---- */

export type SpanKind = "run" | "step" | "message" | "reasoning" | "tool" | "activity";

export interface TimelineAnswer {
  /** In the order in which they begin. The first one is the run. At most 5000: `isCut` tells if there are more. */
  readonly spans: readonly Span[];
  readonly isCut: boolean;
  readonly events: number;
  readonly times: RunTimes;
  /** Whether any span but the run has a time. If not, draw the spans by the indexes of their events. */
  readonly isTimed: boolean;
  /** Events that belong to no span: state, custom and raw events, at most 1000. */
  readonly marks: readonly Mark[];
}

export interface Span {
  readonly kind: SpanKind;
  /** Of the message, tool call, step or run. */
  readonly id: string;
  /** The name of the tool, agent or step, or the role of the message. */
  readonly label: string;
  /** Place of the span in `spans` within which it lies. Null for the run. */
  readonly parent: number | null;
  /** Indexes of its first and last event. */
  readonly from: number;
  readonly to: number;
  /** Null where the event has no timestamp. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly durationMs: number | null;
  /** Of its events. */
  readonly bytes: number;
  /** The beginning of its text, arguments or result, at most 200 characters. */
  readonly preview: string;
  /** Its end was not told: the run was cut off, or executes. */
  readonly isOpen: boolean;
}

export interface Mark {
  readonly index: number;
  readonly type: string;
  readonly at: number | null;
  /** The name of a CUSTOM event, or an empty text. */
  readonly label: string;
}

/* ---- The live run ---- */

/**
 * The messages of "GET api/live?thread=...", by the name for `addEventListener`. `data` is JSON. The stream goes on
 * from run to run until the page closes it. An `EventSource` that was cut off asks again by itself: it then gets a
 * `thread` message, and the events of the run from behind the last that it got.
 */
export interface LiveMessages {
  /** First, and whenever a run begins or ends or the thread changes otherwise. Null when there is no such thread. */
  readonly thread: { readonly thread: ThreadSummary | null; readonly live: HeldThread | null };
  /** Events of the executing run, each once. `from` is the index of the first of them. */
  readonly events: LiveEvents;
  /**
   * The run is over. If it is stored, "api/run..." has it now, its events numbered anew. A run that was discarded is not.
   * `storedEpoch` is higher than `epoch` where another process ended the run, because its own had died.
   */
  readonly end: {
    readonly epoch: number;
    readonly isStored: boolean;
    readonly storedEpoch: number | null;
  };
  /** Following failed, and is tried again: the code says why. (`error` is the name of `EventSource`'s own event.) */
  readonly failure: ApiFailure["error"];
}

export interface LiveEvents {
  readonly epoch: number;
  readonly runId: string;
  readonly from: number;
  readonly items: readonly EventItem[];
}

/* ---- Who holds what ---- */

export interface HoldersAnswer {
  readonly now: number;
  readonly instances: readonly RunnerInstance[];
  /** Threads that a run holds, oldest claim first, at most 500. */
  readonly held: readonly HeldThread[];
  /** How many there are in all. */
  readonly heldTotal: number;
  /** All journals, also those that are kept for a while for whoever follows a run that has ended. */
  readonly journals: Journal;
  /**
   * What the inspector's own runner waits to write: nothing, as a rule. The queues of servers are in their memory
   * (`runner.stats()`), and no other process sees them.
   */
  readonly queue: { readonly depth: number; readonly bytes: number; readonly lagMs: number };
}

export interface RecoveredQuery {
  /** From 1 to 500. Default 50. */
  readonly limit?: string;
  readonly cursor?: string;
}

/** Threads whose last run was ended by another process, because its own had died: newest first. */
export interface RecoveredAnswer {
  /** A page may be empty although `nextCursor` is not null. */
  readonly threads: readonly ThreadSummary[];
  readonly nextCursor: string | null;
}

/* ---- Stopping ---- */

/** Sent as JSON, with the header `content-type: application/json`. */
export interface StopBody {
  readonly thread: string;
  /** Only a run of this id. */
  readonly runId?: string;
}

export interface StopAnswer {
  /** False if no such run executes, or it was told before. */
  readonly isStopped: boolean;
}
