import type { EventLike } from "../../src/events/event.ts";
import { checkFile, checkJournals } from "./check-file.ts";
import { checkMessages } from "./check-messages.ts";
import { checkOwners } from "./check-owners.ts";
import { checkReplays } from "./check-replays.ts";
import { checkKept, checkStored } from "./check-stored.ts";
import { checkStreams } from "./check-streams.ts";
import type { Evidence, RoundFacts, Violation } from "./evidence.ts";
import { runsIn } from "./runs.ts";

export async function checkRound(facts: RoundFacts): Promise<Violation[]> {
  const evidence: Evidence = {
    ...facts,
    runs: runsIn(facts.processes),
    stored: new Map(
      facts.after.runs.map(({ runId, events }) => [runId, JSON.parse(events) as EventLike[]]),
    ),
  };
  return [
    ...checkProcesses(evidence),
    ...checkFile(evidence),
    ...checkJournals(evidence),
    ...checkStreams(evidence),
    ...checkOwners(evidence),
    ...checkStored(evidence),
    ...checkMessages(evidence),
    ...(await checkKept(evidence)),
    ...(await checkReplays(evidence)),
  ];
}

function checkProcesses({ processes }: Evidence): Violation[] {
  const violations: Violation[] = [];
  for (const { name, failure, records } of processes) {
    if (failure !== null) {
      violations.push({
        rule: "process-ends",
        expected: "every process to end as it is told to",
        seen: failure,
      });
    }
    for (const record of records) {
      if (record.what !== "opened" || record.running === 0) continue;
      violations.push({
        rule: "recovered-on-open",
        expected: "no run of a dead process to be called running",
        seen: `${record.running} run(s) when ${name} had opened the store`,
      });
    }
  }
  return violations;
}
