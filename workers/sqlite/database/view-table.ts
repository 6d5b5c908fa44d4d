/**
 * The view of a thread after the run in the row `up_to` of agent_runs, so that a view of the thread is
 * not made from its first run each time. It is deleted when a run of the thread is deleted or changed.
 */
export const VIEW_TABLE = `
CREATE TABLE IF NOT EXISTS thread_views (
  thread_id TEXT PRIMARY KEY,
  up_to INTEGER NOT NULL,
  -- How many runs of the thread there were up to that row.
  runs INTEGER NOT NULL,
  -- JSON: a StoredView.
  view TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS run_of_view_deleted AFTER DELETE ON agent_runs BEGIN
  DELETE FROM thread_views WHERE thread_id = OLD.thread_id AND up_to >= OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS run_of_view_changed AFTER UPDATE OF thread_id, events ON agent_runs BEGIN
  DELETE FROM thread_views WHERE thread_id IN (OLD.thread_id, NEW.thread_id) AND up_to >= NEW.id;
END;
`;
