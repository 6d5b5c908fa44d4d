import type { LendingStatements } from "./statements.ts";

/**
 * Ends all sharing of a thread that is being removed: it uses logs of others no more, and its own logs that
 * others use go to one of these. The texts that only this thread used are swept: see `StaleValues`.
 */
export function giveLogsAway(statements: LendingStatements, threadId: string): void {
  statements.markLenders.run(threadId);
  statements.endBorrowing.run(threadId);
  statements.markBorrowers.run(threadId);
  for (const { thread_id: owner, log } of statements.giveLogs.all(threadId)) {
    statements.endBorrowingOf.run(owner, log);
  }
}
