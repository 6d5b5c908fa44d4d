import { isTerminal } from "../../src/events/event.ts";
import { OWN_ERROR } from "./agents.ts";
import type { Evidence, Violation } from "./evidence.ts";
import { type RunHistory, storeCodeOf } from "./runs.ts";

/** The plans whose agents fail, with the code that their clients get. */
const FAILING: Readonly<Record<string, string>> = {
  throws: "INCOMPLETE_STREAM",
  "just-ends": "INCOMPLETE_STREAM",
  silent: "INCOMPLETE_STREAM",
  "says-error": OWN_ERROR,
};

/** Checks that each client got one terminal event, at the end, and no error without a reason. */
export function checkStreams(evidence: Evidence): Violation[] {
  const violations: Violation[] = [];
  for (const run of evidence.runs) {
    const report = (rule: string, expected: string, seen: string) =>
      void violations.push({ rule, expected, seen: `${run.runId} (${run.shape}): ${seen}` });
    if (run.streamError !== null) {
      report("stream-completes", "a stream that completes", run.streamError);
    } else if (run.completedAt === null) {
      if (run.process.killedAt === null) {
        report("stream-completes", "a stream that completes", "it never did");
      }
      continue;
    }
    const terminals = run.saw.filter(isTerminal);
    const last = run.saw.at(-1);
    const code = storeCodeOf(run);
    // A failure to store comes after the agent's own RUN_FINISHED.
    const [first] = terminals;
    const isCorrected = code !== null && terminals.length === 2 && first?.type === "RUN_FINISHED";
    if (last === undefined || !isTerminal(last) || (terminals.length !== 1 && !isCorrected)) {
      const seen = run.saw.map(({ type }) => type).slice(-6);
      report("one-terminal-event", "one terminal event, the last", `... ${seen.join(", ")}`);
      continue;
    }
    if (code !== null) {
      const problem = whyUncalledFor(run, code, evidence);
      if (problem !== null) report("no-store-error", "no error of the store", problem);
    } else if (last.type === "RUN_ERROR" && last.code !== FAILING[run.shape ?? ""]) {
      report("no-other-error", "the end that the agent gave it", JSON.stringify(last));
    }
  }
  return violations;
}

/** The codes of a store that cannot write for long. */
const STALLS: ReadonlySet<string> = new Set([
  "BUSY",
  "CANNOT_CONNECT",
  "CONNECTION_LOST",
  "DISK_FULL",
  "WRITER_DIED",
  "NO_WRITER",
  "PERSISTENCE_FAILED",
]);

function whyUncalledFor(run: RunHistory, code: string, evidence: Evidence): string | null {
  const message = String(run.saw.at(-1)?.message);
  if (code === "THREAD_ALREADY_RUNNING") {
    return isHeldByAnother(run, evidence.runs) ? null : "refused, and nobody had the thread";
  }
  const mayLose = evidence.expectations.losers?.includes(run.process.name) === true;
  if (code === "LEASE_LOST" && mayLose) return null;
  if (STALLS.has(code) && evidence.expectations.stalls === true) return null;
  const isLoss = code === "FILE_REPLACED" || code === "PERSISTENCE_FAILED";
  if (isLoss && evidence.expectations.losesFile === true) return null;
  return `${code}: ${message}`;
}

/** Whether another run may have held the thread when the run claimed it. */
function isHeldByAnother(run: RunHistory, runs: readonly RunHistory[]): boolean {
  return runs.some(
    (other) =>
      other.threadId === run.threadId &&
      other !== run &&
      mayHaveHeld(other, run) &&
      other.requestedAt <= (run.completedAt ?? 0) &&
      letGoAt(other) >= run.requestedAt,
  );
}

function mayHaveHeld(other: RunHistory, run: RunHistory): boolean {
  if (storeCodeOf(other) !== "THREAD_ALREADY_RUNNING") return true;
  // A run of the same process that claims the thread blocks this run, even if its own claim is refused.
  if (other.process === run.process) return true;
  // A claim may be committed just before its process is stopped or cut off. When the process is back,
  // another process has the thread. So it claims again, and is refused.
  return other.process.absences.some(
    ({ from }) => from >= other.requestedAt && from <= (other.completedAt ?? 0),
  );
}

/** How long a store may take until it can write again and frees the thread of an ended run. */
const FREE_US = 4_000_000;

/** The latest time at which the thread is free again. */
function letGoAt(run: RunHistory): number {
  const { endedAt, killedAt, heldAfterDeathMs } = run.process;
  if (run.completedAt === null) {
    return endedAt + (killedAt === null ? 0 : heldAfterDeathMs * 1000);
  }
  const code = storeCodeOf(run);
  const mayBeHeld = code !== null && code !== "THREAD_ALREADY_RUNNING";
  return run.completedAt + (mayBeHeld ? FREE_US : 0);
}
