import type { EventLike } from "../../src/events/event.ts";
import { textsOf } from "./content.ts";
import type { Evidence, Violation } from "./evidence.ts";
import type { ProcessHistory } from "./load-process.ts";
import { keyOfRow, rowsByKey, type StoreSnapshot } from "./snapshot.ts";

/** Checks that the store is intact, and that its tables agree with each other. */
export function checkFile({ before, after, expectations }: Evidence): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, expected: string, seen: string) =>
    void violations.push({ rule, expected, seen });
  for (const { integrity } of [before, after]) {
    if (integrity !== "ok") report("integrity", "the store to be whole", integrity);
  }
  for (const run of after.running) {
    report("threads-are-free", "no run to be called running", keyOfRow(run));
  }
  const counts = new Map<string, number>();
  for (const { threadId } of after.runs) counts.set(threadId, (counts.get(threadId) ?? 0) + 1);
  for (const { threadId, runCount } of after.threads) {
    const count = counts.get(threadId) ?? 0;
    counts.delete(threadId);
    if (runCount === count) continue;
    report("run-count", `threads to count ${count} runs of ${threadId}`, `${runCount}`);
  }
  for (const [threadId, count] of counts) {
    report("run-count", `threads to count ${count} runs of ${threadId}`, "no row");
  }
  const rows = new Map(after.runs.map((row) => [row.id, row]));
  for (const row of before.runs) {
    const later = rows.get(row.id);
    if (later?.events === row.events && later.runId === row.runId) continue;
    const seen = later === undefined ? "it is gone" : "it has changed";
    report("rows-stay", `the row of ${row.runId} to stay as it is`, seen);
  }
  const old = after.runs.filter(({ runId }) => runId.startsWith("old-")).length;
  const { oldRuns = 0 } = expectations;
  if (old !== oldRuns) report("old-runs-stay", `${oldRuns} runs of before the round`, `${old}`);
  return violations;
}

/**
 * Checks that journals are deleted with their runs, and that no process wrote to the journal of an
 * ended run.
 */
export function checkJournals({ before, after, processes }: Evidence): Violation[] {
  const violations: Violation[] = [];
  const report = (expected: string, seen: string) =>
    void violations.push({ rule: "journal", expected, seen });
  for (const snapshot of [before, after]) {
    const used = new Set([...snapshot.running, ...snapshot.kept].map(keyOfRow));
    const rows = rowsByKey(snapshot);
    for (const [run, events] of journalsIn(snapshot)) {
      const stored = rows.get(run)?.events;
      if (stored !== undefined && !holds(JSON.parse(stored) as EventLike[], events)) {
        report("a journal to say no more than its stored run", `that of ${run} says more`);
      }
      if (stored === undefined && !used.has(run)) {
        report("a journal to be stored or in use", `${run} is neither running nor stored`);
      }
    }
  }
  // Clients that follow a run from another process may need its journal for a while.
  const mayBeLeft = after.keepsJournals || wereSeveralAlive(processes);
  if (!mayBeLeft && after.journal.length > 0) {
    const runs = new Set(after.journal.map(keyOfRow));
    report("no journal to be left", `journals of ${[...runs].join(", ")}`);
  }
  return violations;
}

/** By `keyOf` the run. */
function journalsIn({ journal }: StoreSnapshot): Map<string, EventLike[]> {
  const journals = new Map<string, EventLike[]>();
  for (const segment of journal) {
    const { seq, events } = segment;
    const run = keyOfRow(segment);
    const known = journals.get(run) ?? [];
    // The first row is the input, which is no event.
    if (seq >= 0) known.push(...(JSON.parse(events) as EventLike[]));
    journals.set(run, known);
  }
  return journals;
}

function holds(stored: readonly EventLike[], journal: readonly EventLike[]): boolean {
  const texts = textsOf(stored);
  return [...textsOf(journal)].every(([key, text]) => texts.get(key)?.startsWith(text) === true);
}

function wereSeveralAlive(processes: readonly ProcessHistory[]): boolean {
  const hadTwoRunners = processes.some(({ records }) =>
    records.some(({ what }) => what === "second-runner"),
  );
  if (hadTwoRunners) return true;
  return processes.some((one) =>
    processes.some(
      (other) => other !== one && other.startedAt < one.endedAt && one.startedAt < other.endedAt,
    ),
  );
}
