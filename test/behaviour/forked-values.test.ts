import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { prose } from "../../bench/workloads/prose.ts";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { valueIn } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { finished, scriptedAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** Has so many runs on a thread. Each run has all messages in a snapshot, and in one of two kinds of states. */
async function talk(runner: SqliteAgentRunner, threadId: string, from: number, to: number) {
  for (let turn = from; turn <= to; turn++) {
    const messages = Array.from({ length: turn }, (_, at) => {
      return { id: `message-${at}`, role: "user", content: prose(at, 700) };
    });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { type: "MESSAGES_SNAPSHOT", messages };
      yield turn < 5
        ? { type: "STATE_SNAPSHOT", snapshot: { step: turn, messages, done: false } }
        : { type: "STATE_SNAPSHOT", snapshot: { notes: prose(1000 + turn, 1500), messages } };
      yield finished(input);
    });
    await runToEnd(runner, threadId, `${threadId}-${turn}`, agent);
  }
}

async function eventsOf(runner: SqliteAgentRunner, threadId: string): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const event of runner.threads.events(threadId)) events.push(event);
  return events;
}

test.each([
  ["first", ["t", "a", "b", "c"]],
  ["last", ["c", "b", "a", "t"]],
  ["in between", ["b", "t", "c", "a"]],
])(
  "forks keep what they share, whichever thread is deleted first: the forked thread %s",
  async (_, order) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, leaseMs: 300 });
    await talk(runner, "t", 1, 3);
    await runner.threads.fork("t", { newThreadId: "a" });
    await talk(runner, "t", 4, 6);
    await runner.threads.fork("t", { newThreadId: "b" });
    await runner.threads.fork("b", { newThreadId: "c" });
    await talk(runner, "t", 7, 8);
    await talk(runner, "a", 4, 5);
    await talk(runner, "c", 7, 8);
    const left = new Map<string, unknown[]>();
    for (const threadId of order) left.set(threadId, await eventsOf(runner, threadId));
    const isSwept = () =>
      valueIn(dbPath, "SELECT NOT EXISTS (SELECT 1 FROM threads WHERE values_stale = 1)") === 1;
    for (const threadId of order) {
      await runner.threads.delete(threadId);
      left.delete(threadId);
      for (const [other, events] of left) expect(await eventsOf(runner, other)).toEqual(events);
      await eventually(isSwept);
      for (const [other, events] of left) expect(await eventsOf(runner, other)).toEqual(events);
    }
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM shared_values") === 0);
    expect(valueIn(dbPath, "SELECT count(*) FROM shared_logs")).toBe(0);
  },
);
