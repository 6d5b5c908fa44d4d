import { collectMessageIds } from "../../src/events/message-ids.ts";
import { parseEvents } from "./segments.ts";
import type { WriterStatements } from "./statements.ts";

/**
 * Which of `ids` the thread has stored. When someone else wrote to or purged the thread's rows,
 * its index is made again first, from what is there now.
 */
export function seenMessages(
  statements: WriterStatements,
  threadId: string,
  ids: readonly string[],
): boolean[] {
  if (statements.areMessagesStale.get(threadId) === 1) rebuildIndex(statements, threadId);
  return ids.map((id) => statements.isMessageSeen.get(threadId, id) !== undefined);
}

function rebuildIndex(statements: WriterStatements, threadId: string): void {
  statements.deleteMessagesOfThread.run(threadId);
  const ids = new Set<string>();
  for (const events of statements.eventsOfThread.iterate(threadId)) {
    for (const id of collectMessageIds(parseEvents(events) ?? [])) ids.add(id);
  }
  for (const id of ids) statements.insertMessage.run(threadId, id);
  statements.markMessagesFresh.run(threadId);
}
