import { RunStoreError } from "../../../protocol/errors.ts";
import { isVisible } from "../../../protocol/scope.ts";
import type { UpdateThreadOp } from "../../../protocol/thread-messages.ts";
import { scalarFields } from "../../../runs/metadata-fields.ts";
import { wordsOf } from "../../../runs/search-words.ts";
import { textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import type { Statements } from "../statements.ts";
import { toStored, toStoredOrNull } from "../stored-ids.ts";
import { isKnown, type ThreadRow } from "../thread-row.ts";
import { toFieldKey, toResourceKey } from "./list-keys.ts";

/** Words of a title by which its thread is found: a `tsvector` has at most 1 MB. */
export const MAX_TITLE_WORDS = 4000;

/**
 * Changes what is known of a thread besides its runs, in the transaction that has locked its row.
 *
 * @throws {RunStoreError} `THREAD_NOT_FOUND`
 */
export async function updateThread(
  send: Send,
  statements: Statements,
  row: ThreadRow | undefined,
  { threadId, change, scope }: UpdateThreadOp,
): Promise<void> {
  const resourceId = row?.resourceId ?? null;
  if (!isKnown(row) || !isVisible(scope, resourceId)) {
    throw new RunStoreError("THREAD_NOT_FOUND", "there is no such thread");
  }
  const id = toStored(threadId);
  // Its row may not have been written yet: see `ThreadTouches`.
  const agentId = toStoredOrNull(row.agentId);
  await send(statements.listThread, [id, toResourceKey(resourceId), agentId, Date.now()]);
  const { title, onlyIfUntitled = false, archived, metadata } = change;
  if (title !== undefined) {
    const values = [id, toStoredOrNull(title), onlyIfUntitled];
    const { rowCount } = await send(statements.setTitle, values);
    if (rowCount !== 0) {
      await send(statements.forgetTitleWords, [textArray([id])]);
      const words = [...wordsOf(title ?? "")].slice(0, MAX_TITLE_WORDS);
      if (words.length > 0) await send(statements.addTitleWords, [id, textArray(words)]);
    }
  }
  if (archived !== undefined) await send(statements.setArchived, [id, archived]);
  if (metadata === "{}") await send(statements.forgetMetadata, [textArray([id])]);
  else if (metadata !== undefined) {
    const fields = scalarFields(metadata).map(toFieldKey);
    await send(statements.setMetadata, [id, metadata, textArray(fields)]);
  }
}
