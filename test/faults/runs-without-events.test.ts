import "../support/leak-guard.ts";
import { describe, expect, it } from "vitest";
import { viewOf } from "../../src/events/view/thread-view.ts";
import { withDatabase } from "../support/database-file.ts";
import { collect, openRunner } from "../support/open-runner.ts";
import { inputOf, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** The events of a row from which a replay shows nothing. */
const EVENTS = {
  "no events": "[]",
  "text that is no JSON": "damaged",
  "the content of a message that never began": JSON.stringify([
    { type: "TEXT_MESSAGE_CONTENT", messageId: "never", delta: "lost" },
  ]),
  "null for an event": "[null]",
};

describe.each(Object.entries(EVENTS))("the last run of a thread has %s", (_name, events) => {
  it.each([
    { replayed: "all runs", headers: {} },
    { replayed: "that run alone", headers: { "x-replay-runs": "1" } },
  ])(
    "a client gets the view of the runs before it, when it replays $replayed",
    async ({ headers }) => {
      const dbPath = tempDatabase();
      const runner = openRunner({ dbPath });
      const ids = { threadId: "t", runId: "r" };
      const agent = scriptedAgent(() => [
        { type: "RUN_STARTED", ...ids },
        { type: "STATE_SNAPSHOT", snapshot: { step: 7 } },
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
        { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "said" },
        { type: "TEXT_MESSAGE_END", messageId: "m" },
        { type: "RUN_FINISHED", ...ids },
      ]);
      await collect(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
      withDatabase(dbPath, (db) =>
        db
          .prepare(
            `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
           VALUES ('t', 'last', ?, '{}', 1, 1)`,
          )
          .run(events),
      );

      const view = viewOf(await collect(runner.connect({ threadId: "t", headers })));

      expect(view.state).toEqual({ step: 7 });
      expect(view.messages).toContainEqual({ id: "m", role: "assistant", content: "said" });
    },
  );
});
