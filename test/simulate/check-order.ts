import { isSuperseded, wasReportedLost } from "./check-stored.ts";
import type { Facts, Report, RunRecord } from "./records.ts";
import { storeCodeOf } from "./stored.ts";

/** That a thread has one run at a time, in the order in which they were asked for, and stops only what is meant. */
export function checkOrder(facts: Facts, report: Report): void {
  checkOwners(facts, report);
  checkEnqueued(facts, report);
  checkAborts(facts, report);
  checkClaims(facts, report);
  checkLosses(facts, report);
  checkRefusals(facts, report);
}

function checkOwners(facts: Facts, report: Report): void {
  for (const onThread of Map.groupBy(facts.runs, ({ threadId }) => threadId).values()) {
    const executed = onThread.filter(({ startOrder }) => startOrder !== null);
    executed.sort((a, b) => (a.startOrder ?? 0) - (b.startOrder ?? 0));
    for (const [at, first] of executed.entries()) {
      for (const second of executed.slice(at + 1)) {
        const startedAt = second.agentStartedAt ?? 0;
        if (startedAt >= endOf(first)) continue;
        const names = `${nameOf(first)} until ${endOf(first)} ms, ${nameOf(second)} from ${startedAt} ms`;
        if (!wasSilent(first, startedAt)) report("one-owner", names);
        else if (isOver(first) && first.saw.length > 0 && !isSuperseded(first, facts)) {
          report("lease-lost", `${names}: it was silent, and was not told that it lost its thread`);
        }
      }
    }
  }
}

/** When the run was over for everybody: by itself, for its client, or with its process. */
function endOf(run: RunRecord): number {
  const ends = [run.endedAt, run.process.killedAt].filter((end) => end !== null);
  return ends.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...ends);
}

/** Whether a run ended, for its client, without a loss. */
function isOver(run: RunRecord): boolean {
  return run.process.killedAt === null && run.saw.at(-1)?.type !== "RUN_ERROR";
}

const nameOf = (run: RunRecord) => `run ${run.number} (${run.runId} on ${run.process.name})`;

function wasSilent(run: RunRecord, before: number): boolean {
  return run.process.silences.some(({ from, until }) => {
    return from <= before && until >= (run.agentStartedAt ?? 0);
  });
}

/** Runs that wait for each other in one process begin in the order in which they were asked for. */
function checkEnqueued({ runs }: Facts, report: Report): void {
  const enqueued = runs.filter(
    (run) => run.process.onConcurrentRun === "enqueue" && run.startOrder !== null,
  );
  const queues = Map.groupBy(enqueued, (run) => `${run.process.name} ${run.threadId}`);
  for (const queue of queues.values()) {
    for (const [at, run] of queue.entries()) {
      const before = queue[at - 1];
      if (before === undefined || (before.startOrder ?? 0) < (run.startOrder ?? 0)) continue;
      report("enqueue-order", `${nameOf(run)} before ${nameOf(before)}`);
    }
  }
}

/** An agent is aborted because someone asked for it, or because its run cannot be stored. */
function checkAborts({ runs, stops }: Facts, report: Report): void {
  for (const run of runs) {
    const { abortedAt, threadId, runId, process } = run;
    if (abortedAt === null || storeCodeOf(run) !== null) continue;
    if (process.closingAt !== null && process.closingAt <= abortedAt) continue;
    const isStopped = stops.some(
      (stop) =>
        stop.threadId === threadId &&
        stop.at <= abortedAt &&
        (stop.runId === null || stop.runId === runId),
    );
    const isSuperseded = runs.some(
      (other) =>
        other !== run &&
        other.threadId === threadId &&
        other.process.onConcurrentRun === "supersede" &&
        other.requestedAt <= abortedAt,
    );
    if (!isStopped && !isSuperseded) report("stopped-as-meant", `${nameOf(run)} was aborted`);
  }
}

/** A claim that is sent again takes no second epoch. */
function checkClaims({ taken }: Facts, report: Report): void {
  for (const { by, from, threadId, epoch } of taken) {
    if (by.ownerId !== from?.ownerId || by.claimNumber !== from.claimNumber) continue;
    const claim = `claim ${by.claimNumber} of ${by.ownerId}`;
    report("one-epoch", `${claim} had ${threadId} when it took epoch ${epoch} of it`);
  }
}

/**
 * A run loses its thread only if its process was silent. One that could not be stored may also be ended by the
 * next run of its process, before the answer that says so has come.
 */
function checkLosses({ runs, troubles }: Facts, report: Report): void {
  for (const run of runs) {
    if (storeCodeOf(run) !== "LEASE_LOST") continue;
    const { place } = run.process;
    if (troubles.some(({ on, isForGood }) => isForGood && on === place)) continue;
    if (wasSilent(run, run.completedAt ?? Number.POSITIVE_INFINITY)) continue;
    report("nobody-is-robbed", `${nameOf(run)} lost its thread, and its process was not silent`);
  }
}

/** A run is refused because of another run of its thread, and for nothing else. */
function checkRefusals({ runs }: Facts, report: Report): void {
  for (const run of runs) {
    const isRefused = run.thrown !== null || storeCodeOf(run) === "THREAD_ALREADY_RUNNING";
    if (!isRefused) continue;
    const at = run.completedAt ?? run.requestedAt;
    const others = runs.filter(
      (other) => other !== run && other.threadId === run.threadId && other.requestedAt <= at,
    );
    const isHeld = others.some(
      // What the store lost may hold the thread until it can be written.
      (other) =>
        (other.completedAt ?? at) >= run.requestedAt ||
        storeCodeOf(other) !== null ||
        wasReportedLost(other),
    );
    if (!isHeld)
      report("refused-for-a-reason", `${nameOf(run)} was refused, and nobody had the thread`);
  }
}
