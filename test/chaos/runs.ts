import { type EventLike, isTerminal } from "../../src/events/event.ts";
import type { ProcessHistory } from "./load-process.ts";
import type { LogRecord } from "./log.ts";

/** One run as its process told of it. Times are microseconds, null for what did not happen. */
export interface RunHistory {
  readonly process: ProcessHistory;
  readonly threadId: string;
  /** Its name, which no other run has. */
  readonly runId: string;
  readonly requestedAt: number;
  /** Whether it gives its place to one that is asked for later. */
  readonly yields: boolean;
  aborted: boolean;
  shape: string | null;
  startedAt: number | null;
  /** When its agent ended, or the process did. */
  endedAt: number | null;
  completedAt: number | null;
  /** Why its stream broke. */
  streamError: string | null;
  readonly emitted: { readonly at: number; readonly event: EventLike }[];
  readonly saw: EventLike[];
  /** The code with which the runner told its logger that the run could not be stored. */
  troubleCode: string | null;
}

type Building = { -readonly [Name in keyof RunHistory]: RunHistory[Name] };

/** The runs of all processes, by when they were asked for. */
export function runsIn(processes: readonly ProcessHistory[]): RunHistory[] {
  return processes.flatMap(runsOf).sort((a, b) => a.requestedAt - b.requestedAt);
}

function runsOf(process: ProcessHistory): RunHistory[] {
  const runs = new Map<string, Building>();
  for (const record of process.records) {
    if (record.what === "requested") {
      runs.set(record.runId, newRun(process, record));
      continue;
    }
    const run = "runId" in record && record.runId !== null ? runs.get(record.runId) : undefined;
    if (run === undefined) continue;
    if (record.what === "agent-started") {
      run.startedAt = record.at;
      run.shape = record.shape;
    } else if (record.what === "emit") run.emitted.push({ at: record.at, event: record.event });
    else if (record.what === "agent-ended") run.endedAt ??= record.at;
    else if (record.what === "aborted") run.aborted = true;
    else if (record.what === "saw") run.saw.push(record.event);
    else if (record.what === "trouble") run.troubleCode = record.code;
    else if (record.what === "completed") {
      run.completedAt = record.at;
      run.streamError = record.error ?? null;
    }
  }
  for (const run of runs.values()) run.endedAt ??= process.killedAt ?? process.endedAt;
  return [...runs.values()];
}

function newRun(
  process: ProcessHistory,
  { threadId, runId, at, yields = false }: Extract<LogRecord, { what: "requested" }>,
): Building {
  return {
    process,
    threadId,
    runId,
    requestedAt: at,
    yields,
    aborted: false,
    shape: null,
    startedAt: null,
    endedAt: null,
    completedAt: null,
    streamError: null,
    emitted: [],
    saw: [],
    troubleCode: null,
  };
}

/**
 * All that the run came to say. Of one whose client was told that the store cannot keep it, there are
 * two versions: with what its runner added to close it, which may have been stored all the same, and
 * without.
 */
export function saidBy(run: RunHistory): EventLike[][] {
  const { saw, emitted } = run;
  if (storeCodeOf(run) !== null) {
    const closed = saw.findIndex(({ type }, at) => type !== emitted[at]?.event.type);
    return [saw.slice(0, -1), saw.slice(0, closed)];
  }
  if (saw.some(isTerminal)) return [saw];
  return [[...saw, ...emitted.slice(saw.length).map(({ event }) => event)]];
}

/** Codes of the store: their RUN_ERROR is for the client and not part of what is stored. */
export const STORE_CODES: ReadonlySet<unknown> = new Set([
  "NODE_TOO_OLD",
  "NATIVE_MODULE_FAILED",
  "CANNOT_OPEN",
  "CANNOT_CONNECT",
  "READ_ONLY",
  "NOT_A_DATABASE",
  "FOREIGN_FILE",
  "CORRUPT",
  "SCHEMA_TOO_NEW",
  "DISK_FULL",
  "IO_ERROR",
  "BUSY",
  "CONNECTION_LOST",
  "WRITER_DIED",
  "NO_WRITER",
  "WRITER_FAILED",
  "READER_DIED",
  "STORE_FAILED",
  "FILE_REPLACED",
  "THREAD_ALREADY_RUNNING",
  "LEASE_LOST",
  "QUEUE_FULL",
  "RUNNER_CLOSED",
  "PERSISTENCE_FAILED",
]);

/** The store's own code with which a run ended, if it did. */
export function storeCodeOf(run: RunHistory): string | null {
  const last = run.saw.at(-1);
  return last?.type === "RUN_ERROR" && STORE_CODES.has(last.code) ? String(last.code) : null;
}

/** An agent's own RUN_ERROR may not be followed by the store's: then the logger alone is told. */
export function wasReportedLost(run: RunHistory): boolean {
  const isLoss = run.troubleCode === "LEASE_LOST" || run.troubleCode === "FILE_REPLACED";
  return isLoss && run.saw.at(-1)?.type === "RUN_ERROR";
}

/** Another run took its place: nothing of it is to be kept. */
export function isDiscarded(run: RunHistory): boolean {
  return run.yields && run.completedAt !== null && (run.aborted || run.startedAt === null);
}

/** Told to its client that it is complete, and that nothing went wrong with storing it. */
export function isKept(run: RunHistory): boolean {
  const last = run.saw.at(-1);
  const hasEnd = run.completedAt !== null && last !== undefined && isTerminal(last);
  return hasEnd && !storeCodeOf(run) && !isDiscarded(run);
}
