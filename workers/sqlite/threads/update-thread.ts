import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { Done } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import type { UpdateThreadOp } from "../../../src/protocol/thread-messages.ts";
import { scalarFields } from "../../../src/runs/metadata-fields.ts";
import type { OwnerStatements } from "../instances/statements.ts";
import { indexTitle } from "./search-rows.ts";
import type { SearchRowStatements, UpdateThreadStatements } from "./statements.ts";

type Statements = UpdateThreadStatements &
  SearchRowStatements &
  Pick<OwnerStatements, "resourceOfThread">;

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
  if (title !== undefined) {
    const { changes } = statements.setTitle.run(title, threadId, onlyIfUntitled ? 1 : 0);
    if (changes > 0) indexTitle(statements, threadId, title);
  }
  if (archived !== undefined) statements.setArchived.run(archived ? 1 : 0, threadId);
  if (metadata !== undefined) {
    const fields = scalarFields(metadata);
    statements.setMetadata.run(fields.length > 0 ? metadata : orNull(metadata), threadId);
    statements.deleteMetadataFields.run(threadId);
    for (const field of fields) statements.insertMetadataField.run(...field, threadId);
  }
  return { ok: true };
}

/** No metadata is stored as null: a thread of which nothing is set is forgotten with its only run. */
function orNull(metadata: string): string | null {
  return metadata === "{}" ? null : metadata;
}
