import type { RunOutcome, ThreadSummary } from "../../api.ts";

export type Status = RunOutcome | "running" | "recovered" | "none";

export const WORDS: Readonly<Record<Status, string>> = {
  running: "running",
  finished: "finished",
  interrupt: "waits for an answer",
  error: "error",
  recovered: "interrupted",
  none: "no run",
};

/** How a run or the last run of a thread is doing: a mark with its word. */
export function StatusMark({ status, code }: { readonly status: Status; readonly code?: string }) {
  return (
    <span className={`status ${status}`}>
      {code === undefined ? WORDS[status] : `${WORDS[status]} ${code}`}
    </span>
  );
}

/** The mark alone, where there is no room for the word. */
export function StatusDot({ status }: { readonly status: Status }) {
  return (
    <span className={`status dot ${status}`} title={WORDS[status]}>
      <span className="only-read">{WORDS[status]}</span>
    </span>
  );
}

export function statusOfThread({ isRunning, lastRun }: ThreadSummary): Status {
  if (isRunning) return "running";
  return lastRun === null ? "none" : statusOfRun(lastRun);
}

/** The process of an interrupted run died, and another one ended the run. */
export function statusOfRun(run: { outcome: RunOutcome; errorCode: string | null }): Status {
  return run.errorCode === "RUN_INTERRUPTED" ? "recovered" : run.outcome;
}
