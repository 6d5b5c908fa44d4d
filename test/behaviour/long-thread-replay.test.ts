import "../support/leak-guard.ts";
import Database from "better-sqlite3";
import { expect, it } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent, type ScriptEvent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const RUNS = 20;
const PER_RUN = 50_000;
const PAGE_LENGTH = 64 * 1024;

/** Events that neither compaction nor a replay changes. */
function eventAt(at: number): ScriptEvent {
  const toolCallId = `call-${at - (at % 5)}`;
  switch (at % 5) {
    case 0:
      return { type: "TOOL_CALL_START", toolCallId, toolCallName: "search", at };
    case 1:
      return { type: "TOOL_CALL_END", toolCallId, at };
    case 2:
      return { type: "TOOL_CALL_RESULT", toolCallId, messageId: `m${at}`, content: "none", at };
    case 3:
      return { type: "CUSTOM", name: "progress", value: { at }, at };
    default:
      return { type: "CUSTOM", name: "marker", value: at, at };
  }
}

const TYPES = [0, 1, 2, 3, 4].map((at) => eventAt(at).type);

/** Writes the rows like the writer, and returns the length of their JSON. */
function writeRuns(dbPath: string, threadId: string): number {
  const db = new Database(dbPath);
  const insert = db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
     VALUES (?, ?, ?, '{}', ?, 2, 1)`,
  );
  let length = 0;
  for (let run = 0; run < RUNS; run++) {
    const runId = `r${run}`;
    const parts = [JSON.stringify({ type: "RUN_STARTED", threadId, runId })];
    for (let at = run * PER_RUN; at < (run + 1) * PER_RUN; at++) {
      parts.push(JSON.stringify(eventAt(at)));
    }
    parts.push(JSON.stringify({ type: "RUN_FINISHED", threadId, runId }));
    const json = `[${parts.join(",")}]`;
    length += json.length;
    insert.run(threadId, runId, json, run);
  }
  db.close();
  return length;
}

it("a thread of a million events is replayed whole and in order, and other work gets its turn", async () => {
  const dbPath = tempDatabase();
  const first = new SqliteAgentRunner({ dbPath });
  await first.ready();
  await first.close();
  const length = writeRuns(dbPath, "t");
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "other", "other", answeringAgent());

  let expected = 0;
  let runs = 0;
  const wrong: unknown[] = [];
  let turns = 0;
  let turn: NodeJS.Immediate | undefined;
  const countTurns = () => {
    turns++;
    turn = setImmediate(countTurns);
  };
  // The two replays do not block each other.
  let ranMeanwhile = -1;
  await new Promise<void>((resolve, reject) => {
    runner.connect({ threadId: "t" }).subscribe({
      next(raw) {
        const event = raw as unknown as ScriptEvent;
        if (event.type === "RUN_STARTED") {
          if (runs++ > 0) return;
          turn = setImmediate(countTurns);
          runToEnd(runner, "other", "meanwhile", answeringAgent()).then(() => {
            ranMeanwhile = expected;
          }, reject);
        } else if (event.type !== "RUN_FINISHED") {
          // Compared by hand: a million comparisons by vitest take minutes.
          if (event.at !== expected || event.type !== TYPES[expected % 5]) wrong.push(event);
          expected++;
        }
      },
      error: reject,
      complete: resolve,
    });
  });
  clearImmediate(turn);
  expect(wrong.slice(0, 3)).toEqual([]);
  expect([expected, runs]).toEqual([RUNS * PER_RUN, RUNS]);
  expect(turns).toBeGreaterThanOrEqual(Math.floor(length / PAGE_LENGTH));
  expect(ranMeanwhile).toBeGreaterThanOrEqual(0);
  expect(ranMeanwhile).toBeLessThan(RUNS * PER_RUN);
});
