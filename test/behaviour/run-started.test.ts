import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { eventsOf, runRows, withDatabase } from "../support/database-file.ts";
import { openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const idsIn = (event: ScriptEvent | undefined): unknown[] | undefined =>
  (event?.input as { messages?: { id?: unknown }[] } | undefined)?.messages?.map(({ id }) => id);

/**
 * Runs an agent that answers in the message `answer-<runId>`. Returns the message ids in RUN_STARTED.
 */
async function idsStarted(runner: SqliteAgentRunner, runId: string, messageIds: string[]) {
  const input = inputOf("t", runId, messageIds);
  const events = await watch(runner.run({ threadId: "t", agent: answeringAgent(), input })).done;
  return idsIn(events.find(({ type }) => type === "RUN_STARTED"));
}

describe("a RUN_STARTED without input", () => {
  test("is copied, never changed, and gets the run's input", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const input = { ...inputOf("t", "r"), forwardedProps: { a: 1 } };
    const watched = watch(runner.run({ threadId: "t", agent, input }));
    await agent.started;
    const given = Object.freeze({ ...started({ threadId: "t", runId: "r" }), extra: 1 });
    agent.emit(given);
    expect(watched.events[0]).not.toBe(given);
    expect(watched.events[0]).toEqual({ ...given, input });
    expect(given).not.toHaveProperty("input");
    agent.finish();
  });

  test.each([[null], [undefined]])("is copied too when its input is %s", async (nothing) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit({ ...started({ threadId: "t", runId: "r" }), input: nothing });
    expect(idsIn(watched.events[0])).toEqual(["question-r"]);
    agent.finish();
  });

  test("gets only the messages that are new to the thread", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(await idsStarted(runner, "r1", ["q1"])).toEqual(["q1"]);
    expect(await idsStarted(runner, "r2", ["q1", "answer-r1", "q2"])).toEqual(["q2"]);
    expect(await idsStarted(runner, "r3", ["q1", "answer-r1", "q2", "answer-r2", "q3"])).toEqual([
      "q3",
    ]);
    expect(await idsStarted(runner, "r4", ["q3"])).toEqual([]);
  });

  test("does not get messages that another runner on the file has stored", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath });
    await idsStarted(first, "r1", ["q1"]);
    const second = openRunner({ dbPath });
    expect(await idsStarted(second, "r2", ["q1", "answer-r1", "q2"])).toEqual(["q2"]);
    await first.close();
    await second.close();
    const third = openRunner({ dbPath });
    expect(await idsStarted(third, "r3", ["q1", "answer-r1", "q2", "answer-r2", "q3"])).toEqual([
      "q3",
    ]);
  });

  test("gets a message without an id, or with an id that is no string, as new", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const messages = [{ role: "user", content: "a" }, { id: "", role: "user" }, { id: 7 }, null];
    for (const runId of ["r1", "r2"]) {
      const input = { ...inputOf("t", runId), messages: messages as never };
      const events = await watch(runner.run({ threadId: "t", agent: answeringAgent(), input }))
        .done;
      expect(events[0]?.input).toHaveProperty("messages", messages);
    }
  });

  test("gets a message of another thread, or of a run that was not stored, as new", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "other", "r0", answeringAgent());
    const failing = scriptedAgent(() => {
      throw new Error("at once");
    });
    await runToEnd(runner, "t", "r1", failing);
    expect(await idsStarted(runner, "r2", ["question-r0", "question-r1"])).toEqual([
      "question-r0",
      "question-r1",
    ]);
  });

  test("gets an input without messages unchanged", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const input = { ...inputOf("t", "r"), messages: undefined as never };
    const events = await watch(runner.run({ threadId: "t", agent: answeringAgent(), input })).done;
    expect(events[0]?.input).toBe(input);
  });
});

test("an input that the agent supplied stays the same object", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = puppetAgent();
  const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  const own = inputOf("t", "r", ["the agent's own"]);
  const event = { ...started({ threadId: "t", runId: "r" }), input: own };
  agent.emit(event);
  expect(watched.events[0]).toBe(event);
  expect(watched.events[0]?.input).toBe(own);
  agent.emit(finished({ threadId: "t", runId: "r" }));
  agent.finish();
  await watched.done;
  expect(await idsStarted(runner, "r2", ["the agent's own", "question-r"])).toEqual(["question-r"]);
});

describe("the stored input", () => {
  test("holds only the messages that were new to the thread", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await idsStarted(runner, "r1", ["q1"]);
    await idsStarted(runner, "r2", ["q1", "answer-r1", "q2"]);
    const inputs = runRows(dbPath, "t").map(({ input }) => JSON.parse(input));
    const stored = (runId: string, messageIds: string[]) => {
      const { forwardedProps: _, ...input } = inputOf("t", runId, messageIds);
      return input;
    };
    expect(inputs).toEqual([stored("r1", ["q1"]), stored("r2", ["q2"])]);
    expect(idsIn(eventsOf(runRows(dbPath, "t")[1])[0])).toEqual(["q2"]);
  });

  test('holds all of them with storeInput "full", while events still hold the new ones', async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, storeInput: "full" });
    await idsStarted(runner, "r1", ["q1"]);
    await idsStarted(runner, "r2", ["q1", "answer-r1", "q2"]);
    const [, second] = runRows(dbPath, "t");
    expect(idsIn({ type: "", input: JSON.parse(second?.input ?? "{}") })).toEqual([
      "q1",
      "answer-r1",
      "q2",
    ]);
    expect(idsIn(eventsOf(second)[0])).toEqual(["q2"]);
  });

  test("has the same length turn after turn: the history is not in it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, durability: "normal" });
    const history: string[] = [];
    for (let turn = 100; turn < 300; turn++) {
      history.push(`question-${turn}`);
      const input = inputOf("thread", `run-${turn}`, history);
      const stream = runner.run({ threadId: "thread", agent: answeringAgent(), input });
      await new Promise<void>((resolve) => {
        stream.subscribe({ complete: resolve });
      });
      history.push(`answer-run-${turn}`);
    }

    const rows = runRows(dbPath, "thread");
    expect(rows).toHaveLength(200);
    for (const [at, row] of rows.entries()) {
      const { messages } = JSON.parse(row.input) as { messages: { id: string }[] };
      expect(messages.map(({ id }) => id)).toEqual([`question-${100 + at}`]);
    }
    // All ids have the same length, so the input of every turn has too.
    expect(new Set(rows.map((row) => row.input.length)).size).toBe(1);
    expect(new Set(rows.map((row) => row.events.length)).size).toBe(1);
  });
});

test("messages of rows that another program deleted do not count as seen", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await idsStarted(runner, "r1", ["q1"]);
  await idsStarted(runner, "r2", ["q2"]);
  withDatabase(dbPath, (db) => db.prepare("DELETE FROM agent_runs WHERE run_id = 'r1'").run());
  expect(await idsStarted(runner, "r3", ["q1", "q2", "q3"])).toEqual(["q1", "q3"]);
});
