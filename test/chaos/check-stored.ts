import { isDeepStrictEqual } from "node:util";
import { type EventLike, isTerminal } from "../../src/events/event.ts";
import { reduceWithClients } from "../events/clients.ts";
import { compareWithSaid } from "./content.ts";
import type { Evidence, Violation } from "./evidence.ts";
import { isDiscarded, isKept, type RunHistory, saidBy, wasReportedLost } from "./runs.ts";
import { rowsByKey } from "./snapshot.ts";

/** How many runs of a round real clients reduce as well. Reducing is slow. */
const REDUCED_BY_CLIENTS = 12;

/**
 * Checks that stored events were emitted by an agent, from its first event on, and end with one
 * terminal event.
 */
export function checkStored({ runs, stored, processes, after }: Evidence): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, expected: string, seen: string) =>
    void violations.push({ rule, expected, seen });
  const byId = Map.groupBy(runs, ({ runId }) => runId);
  for (const [runId, events] of stored) {
    if (runId.startsWith("old-")) continue;
    const terminals = events.filter(isTerminal);
    const last = events.at(-1);
    if (terminals.length !== 1 || last !== terminals[0]) {
      const types = events.map(({ type }) => type).slice(-6);
      report("one-terminal-event", `one terminal event, the last, in ${runId}`, types.join(", "));
    }
    const asked = byId.get(runId) ?? [];
    if (asked.some(isDiscarded)) {
      report("discarded-is-gone", `nothing of ${runId}, which another run superseded`, "a row");
      continue;
    }
    if (asked.length === 0) report("nothing-invented", "only runs that someone asked for", runId);
    // A completed run is compared with the events that its client got.
    if (asked.length === 0 || asked.some(isKept)) continue;
    const compared = asked.flatMap(saidBy).map((said) => compareWithSaid(events, said));
    const best = compared.find(({ problem }) => problem === null) ?? compared[0];
    if (best?.problem != null) report("prefix", `a prefix of what ${runId} said`, best.problem);
    if (best?.whole !== true && last?.code !== "RUN_INTERRUPTED") {
      report("prefix", `${runId} whole, or ended with RUN_INTERRUPTED`, JSON.stringify(last));
    }
  }
  const names = after.runs.map(({ runId }) => runId);
  for (const runId of new Set(names.filter((name, at) => names.indexOf(name) !== at))) {
    report("stored-once", `one row of ${runId}`, "several");
  }
  const rows = rowsByKey(after);
  for (const { records } of processes) {
    for (const record of records) {
      if (record.what !== "fault" || !record.point.startsWith("after commit")) continue;
      for (const run of [...record.batch.append, ...record.batch.finish]) {
        if (rows.has(run)) continue;
        report("committed-is-kept", `${run}, which was committed before a kill`, "no row");
      }
    }
  }
  return violations;
}

/** Checks that every run whose client saw it complete is stored, as the client saw it. */
export async function checkKept({ runs, stored }: Evidence): Promise<Violation[]> {
  const violations: Violation[] = [];
  const report = (expected: string, seen: string) =>
    void violations.push({ rule: "completed-is-kept", expected, seen });
  const whole: RunHistory[] = [];
  for (const run of runs.filter(isKept)) {
    const events = stored.get(run.runId);
    // Nothing is stored of a failed agent without events. Every other run is stored.
    const isEmpty = !run.saw.some(({ type }) => type === "RUN_STARTED");
    if (events === undefined) {
      if (!isEmpty && !wasReportedLost(run)) report(`${run.runId} (${run.shape})`, "no row");
    } else if (isEmpty) {
      report(`nothing of ${run.runId}, which said nothing`, "a row");
    } else if (!wasReportedLost(run)) {
      const { whole: isWhole, problem } = compareWithSaid(events, run.saw);
      if (problem !== null || !isWhole) {
        const seen = problem ?? "only a part of it";
        report(`${run.runId} (${run.shape}) as its client saw it`, seen);
      } else whole.push(run);
    }
  }
  const step = Math.max(1, Math.floor(whole.length / REDUCED_BY_CLIENTS));
  for (const run of whole.filter((_, at) => at % step === 0)) {
    const problem = await compareAsClients(stored.get(run.runId) ?? [], run.saw);
    if (problem !== null) report(`${run.runId} (${run.shape}) to look as it did live`, problem);
  }
  return violations;
}

async function compareAsClients(
  stored: readonly EventLike[],
  saw: readonly EventLike[],
): Promise<string | null> {
  const [live, replayed] = await Promise.all([reduceWithClients(saw), reduceWithClients(stored)]);
  if (isDeepStrictEqual(live, replayed)) return null;
  return `live ${JSON.stringify(live)}, replayed ${JSON.stringify(replayed)}`.slice(0, 1000);
}
