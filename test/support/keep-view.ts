import { packView, type ViewChunk } from "../../src/runs/packed-view.ts";
import { prepareReaderStatements } from "../../workers/sqlite/reads/statements.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import { ViewReader } from "../../workers/sqlite/views/read-view.ts";
import { withDatabase } from "./database-file.ts";

/** Answers a request for a view, as a reader of the file does. */
export function readViewOf(
  dbPath: string,
  request: Partial<Parameters<ViewReader["read"]>[0]> & { readonly threadId: string },
): ReturnType<ViewReader["read"]> {
  return withDatabase(dbPath, (db) => {
    const statements = prepareReaderStatements(db);
    const reader = new ViewReader(db, statements, new ValueReader(statements));
    return reader.read({ upToId: null, leaveOut: 0, since: null, ...request });
  });
}

/**
 * Keeps the view of a thread without its last runs, however short it is. `edit` changes the JSON of its
 * messages.
 */
export function keepViewOf(
  dbPath: string,
  threadId: string,
  leaveOut: number,
  edit: (json: string) => string = (json) => json,
): void {
  const { rest, messages, upToId, runs } = readViewOf(dbPath, { threadId, leaveOut });
  const chunks: readonly ViewChunk[] = messages.map((json) => ({ json: edit(json), packed: null }));
  const packed = packView({ rest, chunks });
  withDatabase(dbPath, (db) =>
    db
      .prepare(
        "INSERT OR REPLACE INTO thread_views (thread_id, up_to, runs, view) VALUES (?, ?, ?, ?)",
      )
      .run(threadId, upToId, runs, packed),
  );
}
