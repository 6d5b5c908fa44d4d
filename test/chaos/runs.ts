import { type EventLike, isTerminal } from "../../src/events/event.ts";
import type { ProcessHistory } from "./load-process.ts";
import type { LogRecord } from "./log.ts";

/** A run in the log of its process. Times are in microseconds, null for an event that did not happen. */
export interface RunHistory {
  readonly process: ProcessHistory;
  readonly threadId: string;
  /** Its name, which no other run has. */
  readonly runId: string;
  readonly requestedAt: number;
  /** Whether a later request supersedes it. */
  readonly yields: boolean;
  aborted: boolean;
  shape: string | null;
  startedAt: number | null;
  /** When its agent or its process ended. */
  endedAt: number | null;
  completedAt: number | null;
  /** Why its stream broke. */
  streamError: string | null;
  readonly emitted: { readonly at: number; readonly event: EventLike }[];
  readonly saw: EventLike[];
  /** The code in the log entry of the runner that says that the run could not be stored. */
  troubleCode: string | null;
}

type Building = { -readonly [Name in keyof RunHistory]: RunHistory[Name] };

/** The runs of all processes, by the time of their requests. */
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
 * The events of the run. There are two versions for a run that ended with an error of the store: with
 * the events that its runner added to close it, which may have been stored, and without them.
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

/** Codes of the store. A RUN_ERROR with such a code is for the client, and is not stored. */
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

/** The code of the store with which the run ended, or null. */
export function storeCodeOf(run: RunHistory): string | null {
  const last = run.saw.at(-1);
  return last?.type === "RUN_ERROR" && STORE_CODES.has(last.code) ? String(last.code) : null;
}

/**
 * An agent's own RUN_ERROR cannot be followed by an error of the store. Then only the logger gets that
 * error.
 */
export function wasReportedLost(run: RunHistory): boolean {
  const isLoss = run.troubleCode === "LEASE_LOST" || run.troubleCode === "FILE_REPLACED";
  return isLoss && run.saw.at(-1)?.type === "RUN_ERROR";
}

/** Whether another run superseded it, so that it must not be stored. */
export function isDiscarded(run: RunHistory): boolean {
  return run.yields && run.completedAt !== null && (run.aborted || run.startedAt === null);
}

/** Whether its client saw it complete, without an error of the store. */
export function isKept(run: RunHistory): boolean {
  const last = run.saw.at(-1);
  const hasEnd = run.completedAt !== null && last !== undefined && isTerminal(last);
  return hasEnd && !storeCodeOf(run) && !isDiscarded(run);
}
