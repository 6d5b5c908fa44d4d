import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, spokenIn } from "../support/open-runner.ts";
import { finished, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** What version 4 has and version 3 has not. */
const BACK_TO_3 = `
DROP TABLE shared_values;
DROP TABLE shared_logs;
DROP TABLE thread_views;
DROP TRIGGER run_of_view_deleted;
DROP TRIGGER run_of_view_inserted;
DROP TRIGGER run_of_view_changed;
DROP TRIGGER run_with_values_deleted;
DROP TRIGGER run_with_values_moved;
DROP TRIGGER events_with_values_changed;
DROP TRIGGER input_with_values_changed;
DROP INDEX idx_values_stale;
ALTER TABLE agent_runs DROP COLUMN shared_events;
ALTER TABLE agent_runs DROP COLUMN shared_input;
ALTER TABLE threads DROP COLUMN values_stale;
ALTER TABLE threads DROP COLUMN value_sweeps;
UPDATE agent_runs SET version = 3;
UPDATE schema_version SET version = 3;
ALTER TABLE threads DROP COLUMN changed_runs;
`;

const BACK_TO_2 = `${BACK_TO_3}
ALTER TABLE thread_messages DROP COLUMN digest;
UPDATE agent_runs SET version = 2;
UPDATE schema_version SET version = 2;
`;

const BACK_TO_5 = `
DROP TRIGGER run_with_values_moved;
DROP INDEX idx_part_logs;
ALTER TABLE shared_logs DROP COLUMN epoch;
CREATE TRIGGER run_with_values_moved AFTER UPDATE OF thread_id ON agent_runs
WHEN OLD.thread_id IS NOT NEW.thread_id
  AND (OLD.shared_events IS NOT NULL OR OLD.shared_input IS NOT NULL) BEGIN
  UPDATE shared_logs SET thread_id = NULL WHERE thread_id = OLD.thread_id;
END;
UPDATE agent_runs SET version = 5;
UPDATE schema_version SET version = 5;
`;

const NOTES = "notes ".repeat(1000);

/** An agent whose state is long; the answers tell the runs apart. */
const noting = () =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* text(`answer-${input.runId}`, `answer to ${input.runId}. `);
    yield { type: "STATE_SNAPSHOT", snapshot: { notes: NOTES, last: input.runId } };
    yield finished(input);
  });

test.each([
  [2, BACK_TO_2],
  [3, BACK_TO_3],
])(
  "a file of schema version %i goes on in this one: its runs are read, and new ones share values",
  async (_version, goBack) => {
    const dbPath = tempDatabase();
    const before = openRunner({ dbPath });
    await runToEnd(before, "t", "old", noting());
    await before.close();
    withDatabase(dbPath, (db) => {
      // As that version stored it: the snapshot stands among the events.
      const events = [
        { type: "RUN_STARTED", threadId: "t", runId: "old" },
        ...text("answer-old", "answer to old. "),
        { type: "STATE_SNAPSHOT", snapshot: { notes: NOTES, last: "old" } },
        { type: "RUN_FINISHED", threadId: "t", runId: "old" },
      ];
      db.prepare("UPDATE agent_runs SET events = ?").run(JSON.stringify(events));
      db.exec(goBack);
    });

    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "new-1", noting());
    await runToEnd(runner, "t", "new-2", noting());
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toEqual(["old", "new-1", "new-2"]);
    expect(spokenIn(replay)).toBe("answer to old. answer to new-1. answer to new-2. ");
    await runner.close();
    expect(valueIn(dbPath, "SELECT max(version) FROM schema_version")).toBe(SCHEMA_VERSION);
    expect(valueIn(dbPath, "SELECT octet_length(events) > 6000 FROM agent_runs WHERE id = 1")).toBe(
      1,
    );
    const shared = "SELECT sum(length(text)) FROM shared_values";
    expect(valueIn(dbPath, shared)).toBeLessThan(1.1 * NOTES.length);
  },
);

test("a file of schema version 5 goes on in this one, with runs that are stored in parts", async () => {
  const dbPath = tempDatabase();
  const before = openRunner({ dbPath });
  await runToEnd(before, "t", "old", noting());
  await before.close();
  withDatabase(dbPath, (db) => db.exec(BACK_TO_5));
  const runner = openRunner({ dbPath });
  const long = scriptedAgent(async function* ({ input }) {
    yield started(input);
    for (let at = 0; at < 3000; at++) {
      yield { type: "CUSTOM", name: `step ${at}`, value: { text: "x".repeat(1000) } };
      if (at % 500 === 0) await runner.flush();
    }
    yield* text("m", "at last");
    yield finished(input);
  });
  await runToEnd(runner, "t", "new", long);
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay)).toEqual(["old", "new"]);
  expect(replay.filter(({ type }) => type === "CUSTOM")).toHaveLength(3000);
  expect(spokenIn(replay)).toBe("answer to old. at last");
  await runner.close();
  expect(valueIn(dbPath, "SELECT max(version) FROM schema_version")).toBe(SCHEMA_VERSION);
  expect(valueIn(dbPath, "SELECT octet_length(events) FROM agent_runs WHERE id = 2")).toBeLessThan(
    2 * 1024 * 1024,
  );
});
