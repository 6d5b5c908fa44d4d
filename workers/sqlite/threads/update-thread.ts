import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { Done } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import type { UpdateThreadOp } from "../../../src/protocol/thread-messages.ts";
import type { OwnerStatements } from "../instances/statements.ts";
import type { UpdateThreadStatements } from "./statements.ts";

type Statements = UpdateThreadStatements & Pick<OwnerStatements, "resourceOfThread">;

/** Changes what is known of a thread besides its runs. */
export function updateThread(
  statements: Statements,
  { threadId, change, scope }: UpdateThreadOp,
): Done {
  const owner = statements.resourceOfThread.get(threadId);
  if (owner === undefined || !isVisible(scope, owner)) {
    throw new RunStoreError("THREAD_NOT_FOUND", "there is no such thread");
  }
  const { title, onlyIfUntitled = false, archived, metadata } = change;
  if (title !== undefined) statements.setTitle.run(title, threadId, onlyIfUntitled ? 1 : 0);
  if (archived !== undefined) statements.setArchived.run(archived ? 1 : 0, threadId);
  if (metadata !== undefined) statements.setMetadata.run(JSON.stringify(metadata), threadId);
  return { ok: true };
}
