import { lastValueFrom, toArray } from "rxjs";
import { type EventLike, isTerminal } from "../../src/events/event.ts";
import { SqliteAgentRunner } from "../../src/index.ts";
import { compareWithSaid } from "../chaos/content.ts";
import { type StoreSnapshot, takeSnapshot } from "../chaos/snapshot.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import type { Facts, ImageJob, ImageVerdict, RunFacts, Violation } from "./facts.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Opens the files that a power cut has left, uses every thread, and checks the stored runs. */
export async function checkImage(job: ImageJob, facts: Facts): Promise<ImageVerdict> {
  const violations: Violation[] = [];
  const report = (rule: Violation["rule"], seen: string) => void violations.push({ rule, seen });
  const asked = facts.runs.filter(({ askedAt }) => askedAt <= job.cut);
  const acknowledged = asked.filter(
    ({ acknowledgedAt }) => acknowledgedAt !== null && acknowledgedAt <= job.cut,
  );
  const verdict = { acknowledged: acknowledged.length, violations };
  let replays: ReadonlyMap<string, readonly EventLike[]>;
  let snapshot: StoreSnapshot;
  try {
    replays = await useThreads(job.dbPath, facts.threadIds, report);
    snapshot = takeSnapshot(job.dbPath);
  } catch (error) {
    report("opens", String(error));
    return verdict;
  }
  const { integrity, runs: rows } = snapshot;
  if (integrity !== "ok") report("integrity", integrity.slice(0, 300));

  const stored = new Map<string, readonly EventLike[]>();
  const idsOf = new Map<string, string[]>();
  let oldRuns = 0;
  for (const { runId, threadId, events } of rows) {
    idsOf.set(threadId, [...(idsOf.get(threadId) ?? []), runId]);
    if (runId.startsWith("old-")) oldRuns++;
    else if (!runId.startsWith("check.") && !runId.startsWith("bulk."))
      stored.set(runId, JSON.parse(events) as EventLike[]);
  }
  if (oldRuns !== facts.oldRuns) report("old-runs", `${oldRuns} of ${facts.oldRuns}`);
  for (const threadId of facts.threadIds) {
    const replayed = runIdsIn(replays.get(threadId) ?? []).join();
    const expected = (idsOf.get(threadId) ?? []).join();
    if (replayed !== expected)
      report("replay", `${threadId}: stored ${expected}, replayed ${replayed}`);
  }
  for (const run of acknowledged) {
    const problem = lossOf(run, stored.get(run.runId));
    if (problem !== null) report("lost", problem);
  }
  const byId = new Map(asked.map((run) => [run.runId, run]));
  for (const [runId, events] of stored) {
    const terminals = events.filter(isTerminal);
    if (terminals.length !== 1 || events.at(-1) !== terminals[0]) {
      report("terminal", `${runId} ends with ${events.map(({ type }) => type).slice(-4)}`);
    }
    const run = byId.get(runId);
    if (run === undefined) report("invented", `${runId}, which nobody had asked for`);
    else {
      const { problem } = compareWithSaid(events, run.said);
      if (problem !== null) report("prefix", `${runId}: ${problem}`);
    }
  }
  return verdict;
}

/** The missing part of an acknowledged run, or null. */
function lossOf(
  { runId, said }: RunFacts,
  events: readonly EventLike[] | undefined,
): string | null {
  // The run of an agent that failed before its first event is not stored.
  const isEmpty = !said.some(({ type }) => type === "RUN_STARTED");
  if (events === undefined) return isEmpty ? null : `${runId} is not there`;
  const { whole, problem } = compareWithSaid(events, said);
  if (problem === null && whole) return null;
  return `${runId} is not whole: ${problem ?? "its end is missing"}`;
}

/** Replays every thread, executes a run on each, and returns the replays after that. */
async function useThreads(
  dbPath: string,
  threadIds: readonly string[],
  report: (rule: Violation["rule"], seen: string) => void,
): Promise<Map<string, readonly EventLike[]>> {
  const runner = new SqliteAgentRunner({ dbPath, logger: quiet });
  try {
    await runner.ready();
    await Promise.all(
      threadIds.map(async (threadId) => {
        const input = inputOf(threadId, `check.${threadId}`);
        const run = runner.run({ threadId, agent: answeringAgent(), input });
        const [last] = (await lastValueFrom(run.pipe(toArray()))).slice(-1);
        if (last?.type !== "RUN_FINISHED")
          report("takes-run", `${threadId}: ${JSON.stringify(last)}`);
      }),
    );
    const replays = await Promise.all(
      threadIds.map(async (threadId) => {
        const events = await lastValueFrom(runner.connect({ threadId }).pipe(toArray()));
        return [threadId, events as unknown as EventLike[]] as const;
      }),
    );
    return new Map(replays);
  } finally {
    await runner.close();
  }
}

function runIdsIn(events: readonly EventLike[]): string[] {
  return events.filter(({ type }) => type === "RUN_STARTED").map(({ runId }) => String(runId));
}
