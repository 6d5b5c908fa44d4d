import type { Evidence, Violation } from "./evidence.ts";
import { type RunHistory, storeCodeOf } from "./runs.ts";

/** Checks that a thread never had two runs whose agents executed at the same time. */
export function checkOwners({ runs }: Evidence): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, expected: string, seen: string) =>
    void violations.push({ rule, expected, seen });
  for (const onThread of Map.groupBy(runs, ({ threadId }) => threadId).values()) {
    const executed = onThread.filter((run) => run.startedAt !== null);
    executed.sort((a, b) => startOf(a) - startOf(b));
    for (const [at, first] of executed.entries()) {
      for (const second of executed.slice(at + 1)) {
        if (startOf(second) >= (first.endedAt ?? 0)) continue;
        const names = `${first.runId} (${first.process.name}) and ${second.runId} (${second.process.name})`;
        const late = lateOf(first, second);
        if (late === null) {
          const ms = ((first.endedAt ?? 0) - startOf(second)) / 1000;
          report("one-owner", `one owner of ${first.threadId} at a time`, `${names}, for ${ms} ms`);
        } else if (!hasNoticed(late)) {
          report("lease-lost", "the one that slept to end with LEASE_LOST", `${names}: it did not`);
        }
        break;
      }
    }
  }
  return violations;
}

const startOf = (run: RunHistory) => run.startedAt ?? 0;

/** A run without events has no write that could be refused. */
function hasNoticed(run: RunHistory): boolean {
  if (!run.saw.some(({ type }) => type === "RUN_STARTED")) return true;
  return storeCodeOf(run) === "LEASE_LOST" || run.troubleCode === "LEASE_LOST";
}

/** The run whose process was away, and executes although another has its thread. Null if neither was. */
function lateOf(first: RunHistory, second: RunHistory): RunHistory | null {
  if (wasAway(first, startOf(first), startOf(second))) return first;
  // It had its claim, and was away before its agent began.
  if (wasAway(second, second.requestedAt, startOf(second))) return second;
  return null;
}

function wasAway({ process }: RunHistory, since: number, until: number): boolean {
  return process.absences.some(({ from }) => from >= since && from <= until);
}
