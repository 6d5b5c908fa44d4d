import type { LendingStatements } from "./statements.ts";

/**
 * Ends all sharing of a thread that is being removed: it uses logs of others no more, and if others use its own
 * logs, one of these gets all of them. Logs of one thread stay together, because several may have their texts in
 * one row: see `storeChunks`. The texts that only this thread used are swept: see `StaleValues`.
 */
export function giveLogsAway(statements: LendingStatements, threadId: string): void {
  statements.markLenders.run(threadId);
  statements.endBorrowing.run(threadId);
  const borrower = statements.borrowerOf.get(threadId) ?? null;
  if (borrower === null) return;
  statements.markStale.run(borrower);
  statements.giveLogs.run({ borrower, lender: threadId });
  statements.endBorrowingOfOwn.run({ borrower });
}
