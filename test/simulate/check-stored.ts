import { isTerminal } from "../../src/events/event.ts";
import type { Facts, Report, RunRecord } from "./records.ts";
import { compareWithRun, numberIn, type StoredRun, storeCodeOf, storedRuns } from "./stored.ts";

/** Some that follow each other may last as long as the write path tries before it gives up. */
const LONG_MS = 2000;

/** That what is stored was said, once, from its beginning, and that all that was acknowledged is stored. */
export function checkStored(facts: Facts, report: Report): void {
  const stored = storedRuns(facts);
  const byNumber = new Map<number, StoredRun>();
  for (const run of stored) {
    const name = `stored run ${run.number} (${run.runId} on ${run.threadId})`;
    const terminals = run.events.filter(isTerminal);
    if (terminals.length !== 1 || run.events.at(-1) !== terminals[0]) {
      report("one-terminal-event", `${name}: ${run.events.map(({ type }) => type).join(", ")}`);
    }
    if (run.number === null) continue;
    if (byNumber.has(run.number)) report("stored-once", `${name} is stored twice`);
    byNumber.set(run.number, run);
    const asked = facts.runs[run.number - 1];
    if (asked === undefined || asked.threadId !== run.threadId || asked.runId !== run.runId) {
      report("nothing-invented", `${name} was never asked for`);
      continue;
    }
    const { whole, problem } = compareWithRun(run.events, asked);
    if (problem !== null) report("prefix", `${name}: ${problem}`);
    const code = run.events.at(-1)?.code;
    if (!whole && code !== "RUN_INTERRUPTED" && code !== "PERSISTENCE_FAILED") {
      report("prefix", `${name} is not whole, and says nothing of an interruption`);
    }
  }
  for (const run of facts.runs) {
    if (storeCodeOf(run) === "PERSISTENCE_FAILED" && !wasLongInTrouble(run, facts)) {
      report("stored-in-the-end", `run ${run.number} could not be stored, and there was no reason`);
    }
    if (!isKept(run) || isSuperseded(run, facts)) continue;
    const { number, runId, threadId } = run;
    const name = `run ${number} (${runId} on ${threadId})`;
    const row = byNumber.get(numberIn(run.saw) ?? number);
    if (row === undefined) {
      // Nothing tells a run that was stopped early from another one of its id.
      const isSilent = numberIn(run.saw) === null;
      const isThere = stored.some((each) => each.threadId === threadId && each.runId === runId);
      if (!isSilent || !isThere) report("acknowledged-is-kept", `${name} is not stored`);
    } else if (!compareWithRun(row.events, run).whole) {
      report("acknowledged-is-kept", `${name} is not stored whole`);
    }
  }
}

/** Whether a client was told that the run is complete and nothing was said of a loss. */
export function isKept(run: RunRecord): boolean {
  const hasSaid = run.saw.length > 0 && run.saw[0]?.type === "RUN_STARTED";
  return run.completedAt !== null && hasSaid && storeCodeOf(run) === null && !wasReportedLost(run);
}

/** An agent's own RUN_ERROR may not be followed by the store's: then the logger alone is told. */
export function wasReportedLost({ saw, process, threadId, runId }: RunRecord): boolean {
  if (saw.at(-1)?.type !== "RUN_ERROR") return false;
  return process.losses.some((loss) => loss.threadId === threadId && loss.runId === runId);
}

/** Whether another run may have taken its place, so that nothing of it is kept. */
export function isSuperseded(run: RunRecord, { runs }: Facts): boolean {
  return runs.some(
    (other) =>
      other.number !== run.number &&
      other.threadId === run.threadId &&
      other.process.onConcurrentRun === "supersede" &&
      other.requestedAt <= (run.completedAt ?? Number.POSITIVE_INFINITY) &&
      (other.completedAt ?? Number.POSITIVE_INFINITY) >= run.requestedAt,
  );
}

/** A run is given up if what fails is not tried again, or if it fails for long. */
function wasLongInTrouble({ process, completedAt }: RunRecord, { troubles }: Facts): boolean {
  if (process.closingAt !== null && process.closingAt <= (completedAt ?? process.closingAt))
    return true;
  return troubles.some(({ on, from, until, isForGood }) => {
    return (on === null || on === process.place) && (isForGood || until - from >= LONG_MS);
  });
}
