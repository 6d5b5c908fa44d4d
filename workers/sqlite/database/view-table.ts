import type { AddedColumn } from "./added-column.ts";

/** Counts the changes that make a view wrong which was read before them, and is not kept yet. */
export const ADDED_FOR_VIEWS: readonly AddedColumn[] = [
  ["threads", "changed_runs", "INTEGER NOT NULL DEFAULT 0"],
];

/**
 * Views of a thread: each after the run in the row `up_to` of agent_runs. A later view is made from there,
 * and not from the first run. Views are deleted when a run before them is deleted or changed, or when
 * another program inserts one: it may put back a row that was purged.
 *
 * A view may be read before such a change, and kept after it. The number of runs shows that a run was deleted.
 * `threads.changed_runs` shows that a run was changed, or replaced, which leaves the number as it was.
 */
export const VIEW_TABLE = `
CREATE TABLE IF NOT EXISTS thread_views (
  thread_id TEXT NOT NULL,
  up_to INTEGER NOT NULL,
  -- How many runs of the thread there were up to that row.
  runs INTEGER NOT NULL,
  -- A StoredView, packed (src/runs/packed-view.ts): it holds again what the runs hold.
  view BLOB NOT NULL,
  PRIMARY KEY (thread_id, up_to)
);
CREATE TRIGGER IF NOT EXISTS run_of_view_deleted AFTER DELETE ON agent_runs BEGIN
  DELETE FROM thread_views WHERE thread_id = OLD.thread_id AND up_to >= OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS run_of_view_inserted AFTER INSERT ON agent_runs BEGIN
  DELETE FROM thread_views WHERE thread_id = NEW.thread_id AND up_to >= NEW.id;
  UPDATE threads SET changed_runs = changed_runs + 1 WHERE thread_id = NEW.thread_id
    AND EXISTS (SELECT 1 FROM agent_runs WHERE thread_id = NEW.thread_id AND id > NEW.id);
END;
CREATE TRIGGER IF NOT EXISTS run_of_view_changed AFTER UPDATE OF thread_id, events ON agent_runs BEGIN
  DELETE FROM thread_views WHERE thread_id IN (OLD.thread_id, NEW.thread_id) AND up_to >= NEW.id;
  UPDATE threads SET changed_runs = changed_runs + 1 WHERE thread_id IN (OLD.thread_id, NEW.thread_id);
END;
`;
