import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import type { EventLike } from "../../src/events/event.ts";

/**
 * The records of a process, one line each, in order. `runId` is the name of a run (`nameOf`), which is
 * its id unless another run has the same id.
 */
export type LogRecord = { readonly at: number } & (
  | {
      readonly what: "requested";
      readonly threadId: string;
      readonly runId: string;
      /** The run is superseded by a later request. */
      readonly yields?: boolean;
    }
  | {
      readonly what: "agent-started";
      readonly threadId: string;
      readonly runId: string;
      readonly shape: string;
    }
  /** The agent is about to emit this. */
  | { readonly what: "emit"; readonly runId: string; readonly event: EventLike }
  /** The agent is done, told to abort, or cut off. */
  | { readonly what: "agent-ended"; readonly runId: string }
  /** The runner has told the agent to abort. */
  | { readonly what: "aborted"; readonly runId: string }
  /** The client of the run got this event. */
  | { readonly what: "saw"; readonly runId: string; readonly event: EventLike }
  /** `error` when the stream broke, or could not be opened. */
  | { readonly what: "completed"; readonly runId: string; readonly error?: string }
  | {
      readonly what: "connected";
      readonly threadId: string;
      readonly startedAt: number;
      readonly events: readonly EventLike[];
      readonly error?: string;
    }
  /** A log entry of the runner. */
  | {
      readonly what: "trouble";
      readonly code: string | null;
      readonly runId: string | null;
      readonly message: string;
    }
  /** A fault that is happening at this moment. */
  | {
      readonly what: "fault";
      readonly fault: string;
      readonly point: string;
      readonly batch: BatchRuns;
    }
  /** The process has opened the store with another runner. */
  | { readonly what: "second-runner" }
  /** A worker thread has ended. `cause` is the code or message of its error, or its exit code. */
  | { readonly what: "thread-ended"; readonly cause: string }
  /** The runner is open, and so many runs are said to be running, although nobody executes one. */
  | { readonly what: "opened"; readonly running: number }
);

/** The runs in the current transaction: claims by id, others by `keyOf`. */
export interface BatchRuns {
  readonly claim: readonly string[];
  readonly append: readonly string[];
  readonly finish: readonly string[];
}

/** A record without its time, which is added when the record is written. */
export type LogEntry = LogRecord extends infer R
  ? R extends LogRecord
    ? Omit<R, "at">
    : never
  : never;

/** Microseconds of a clock that never jumps and that all processes of a host share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** Synchronous, and from any thread: a record written before a kill is there after it. */
export class LogWriter {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "a");
  }

  write(entry: LogEntry): void {
    writeSync(this.#fd, `${JSON.stringify({ at: now(), ...entry })}\n`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** All complete lines: a kill may have cut off the last line. */
export function readLog(path: string): LogRecord[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as LogRecord);
}
