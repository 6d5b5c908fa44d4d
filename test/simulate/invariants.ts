import { checkConnects } from "./check-connects.ts";
import { checkOrder } from "./check-order.ts";
import { checkStored } from "./check-stored.ts";
import type { Facts, Report, Violation } from "./records.ts";

/** What is wrong with what came of a schedule. */
export async function checkFacts(facts: Facts): Promise<Violation[]> {
  const violations: Violation[] = [];
  const report: Report = (rule, seen) => void violations.push({ rule, seen });
  for (const error of facts.uncaught) report("nothing-uncaught", describe(error));
  for (const call of facts.unanswered) report("everything-ends", `${call} has no answer`);
  for (const held of facts.held) report("threads-are-free", held);
  checkOrder(facts, report);
  checkStored(facts, report);
  await checkConnects(facts, report);
  return violations;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
