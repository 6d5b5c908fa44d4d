import type { EventLike } from "../../src/events/event.ts";
import { ReplayRepair } from "../../src/events/repair/repair.ts";
import { ThreadView, viewOf } from "../../src/events/view/thread-view.ts";
import { verifyWithClients } from "../events/clients.ts";
import { compareWithSaid } from "./content.ts";
import type { Evidence, Violation } from "./evidence.ts";
import type { ProcessHistory } from "./load-process.ts";
import { isKept, type RunHistory, STORE_CODES, saidBy, wasReportedLost } from "./runs.ts";
import { nameIn } from "./snapshot.ts";

interface Replay {
  readonly process: ProcessHistory;
  readonly threadId: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly events: readonly EventLike[];
  readonly error: string | null;
}

/**
 * Checks that every `connect`, during the round and after it, gave its client a complete, valid
 * conversation.
 */
export async function checkReplays(evidence: Evidence): Promise<Violation[]> {
  const violations: Violation[] = [];
  const byId = Map.groupBy(evidence.runs, ({ runId }) => runId);
  for (const replay of replaysIn(evidence.processes)) {
    if (evidence.expectations.losesFile && replay.events.some(isFileLost)) continue;
    if (wasCutOff(replay) && replay.events.some(isUnreachable)) continue;
    const where = `a replay of ${replay.threadId} in ${replay.process.name}`;
    const report = (rule: string, expected: string, seen: string) =>
      void violations.push({ rule, expected: `${where}: ${expected}`, seen });
    if (replay.error !== null) report("replay-completes", "it completes", replay.error);
    try {
      await verifyWithClients(replay.events);
    } catch (error) {
      report("replay-verifies", "every client accepts it", String(error));
    }
    const failure = replay.events.find(
      ({ type, code }) => type === "RUN_ERROR" && STORE_CODES.has(code) && code !== "LEASE_LOST",
    );
    if (failure !== undefined) report("replay-completes", "no error", JSON.stringify(failure));
    const parts = splitByRun(replay.events);
    const ids = parts.map(({ runId }) => runId);
    const known = ids.filter((id) => byId.has(id) || evidence.stored.has(id));
    if (new Set(known).size < known.length) report("replay-once", "each run once", ids.join(", "));
    const unbegun = evidence.runs.filter(
      (run) => run.threadId === replay.threadId && run.startedAt === null,
    );
    for (const { runId, events } of parts) {
      // The runner ends a run whose agent has not begun, and does not know the run's name.
      const runs = byId.get(runId) ?? (known.includes(runId) ? [] : unbegun);
      const asked = runs.length > 0 ? runs.flatMap(saidBy) : [evidence.stored.get(runId) ?? []];
      const problems = asked.map((said) => compareReplayed(events, said));
      const [problem = null] = problems;
      if (problem !== null && !problems.includes(null)) {
        report("replay-is-true", `what ${runId} said`, problem);
      }
    }
    const missing = evidence.runs.filter((run) => isDue(run, replay) && !ids.includes(run.runId));
    for (const run of missing) {
      report("replay-is-complete", `${run.runId}, which was complete before`, "it is not there");
    }
  }
  return [...violations, ...checkLastReplays(evidence)];
}

const isFileLost = ({ type, code }: EventLike) =>
  type === "RUN_ERROR" && (code === "FILE_REPLACED" || code === "PERSISTENCE_FAILED");

const isUnreachable = ({ type, code }: EventLike) =>
  type === "RUN_ERROR" && (code === "CANNOT_CONNECT" || code === "CONNECTION_LOST");

function wasCutOff({ process, startedAt, endedAt }: Replay): boolean {
  return process.absences.some(({ from, to }) => from <= endedAt && to >= startedAt);
}

function compareReplayed(events: readonly EventLike[], said: readonly EventLike[]): string | null {
  const [started] = events;
  // A stream that began with its terminal event gets a RUN_STARTED, which clients require.
  const isRepaired = said[0]?.type !== "RUN_STARTED" && started !== undefined;
  const compared = isRepaired ? [started, ...said] : said;
  return compareWithSaid(events, compared, { isReplay: true }).problem;
}

/** The final replays show exactly the stored rows, in their order, and lead to the view of these rows. */
function checkLastReplays({ processes, after }: Evidence): Violation[] {
  const violations: Violation[] = [];
  const last = new Map<string, Replay>();
  for (const replay of replaysIn(processes)) {
    const known = last.get(replay.threadId);
    if (known === undefined || replay.startedAt > known.startedAt)
      last.set(replay.threadId, replay);
  }
  for (const [threadId, { events }] of last) {
    const rows = after.runs.filter((row) => row.threadId === threadId);
    const ids = rows.map(({ runId }) => runId);
    const shown = splitByRun(events).map(({ runId }) => runId);
    if (ids.join() !== shown.join()) {
      violations.push({
        rule: "replay-is-complete",
        expected: `a last replay of ${threadId} with the runs ${ids.slice(-20).join(", ")}`,
        seen: shown.slice(-20).join(", "),
      });
      continue;
    }
    const expected = viewOfRows(threadId, rows);
    const seen = viewOfEvents(events);
    if (expected === seen) continue;
    violations.push({
      rule: "replay-is-true",
      expected: `a last replay of ${threadId} that leads to ${expected.slice(0, 2000)}`,
      seen: seen.slice(0, 2000),
    });
  }
  return violations;
}

const viewOfEvents = (events: readonly EventLike[]) => {
  const { messages, state } = viewOf(events);
  return JSON.stringify({ messages, state });
};

/** The view of stored runs. */
function viewOfRows(
  threadId: string,
  rows: readonly { readonly runId: string; readonly events: string }[],
): string {
  const view = new ThreadView();
  const repair = new ReplayRepair(threadId, (event) => view.applyStored(event));
  for (const { runId, events } of rows) {
    repair.startRun(runId);
    for (const event of JSON.parse(events) as EventLike[]) repair.next(event);
  }
  repair.endRun();
  const { messages, state } = view;
  return JSON.stringify({ messages, state });
}

function isDue(run: RunHistory, replay: Replay): boolean {
  return (
    run.threadId === replay.threadId &&
    isKept(run) &&
    run.troubleCode !== "LEASE_LOST" &&
    !wasReportedLost(run) &&
    (run.completedAt ?? 0) < replay.startedAt &&
    run.saw.some(({ type }) => type === "RUN_STARTED")
  );
}

function replaysIn(processes: readonly ProcessHistory[]): Replay[] {
  return processes.flatMap((process) =>
    process.records.flatMap((record) => {
      if (record.what !== "connected") return [];
      const { threadId, startedAt, at: endedAt, events, error = null } = record;
      return [{ process, threadId, startedAt, endedAt, events, error }];
    }),
  );
}

function splitByRun(events: readonly EventLike[]): { runId: string; events: EventLike[] }[] {
  const parts: { runId: string; events: EventLike[] }[] = [];
  for (const event of events) {
    if (event.type === "RUN_STARTED") parts.push({ runId: nameIn([event]), events: [event] });
    else parts.at(-1)?.events.push(event);
  }
  return parts;
}
