import "../support/leak-guard.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { EventLike, RunInput, SqliteAgentRunner } from "../../src/index.ts";
import { LiveClient } from "../events/view/live-client.ts";
import { type RandomRun, randomThread } from "../events/view/random-threads.ts";
import { seed } from "../events/view/seed.ts";
import { keepViewOf } from "../support/keep-view.ts";
import { collect, openRunner } from "../support/open-runner.ts";
import { scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const THREADS = Number(process.env.REPLAYED_THREADS ?? 60);

interface Held {
  readonly messages: readonly { readonly id?: unknown; readonly role?: unknown }[];
  readonly state: unknown;
}

/**
 * Runs the thread with a client that sends its list and its state. Returns what it holds at the end, or
 * null if it refuses a run: its messages may have ids that the agent uses for a subagent.
 */
async function talk(runner: SqliteAgentRunner, threadId: string, runs: readonly RandomRun[]) {
  const client = new LiveClient();
  for (const [at, { asked, events }] of runs.entries()) {
    const { messages, state } = client.view as Held;
    const list = [...messages, ...(asked as Held["messages"])];
    const input = {
      ...{ threadId, runId: `r${at}`, tools: [], context: [], state },
      messages: list.filter(({ role }) => role !== "activity"),
    };
    const agent = scriptedAgent(() => events);
    const live = await collect(
      runner.run({ threadId, agent, input: input as unknown as RunInput }),
    );
    try {
      await client.run(asked, live);
    } catch {
      return null;
    }
  }
  return client.view as Held;
}

async function shownBy(events: readonly EventLike[]): Promise<Held> {
  const fresh = new LiveClient();
  await fresh.run([], events);
  return fresh.view as Held;
}

/**
 * Whether the client shows an activity that is no more, or such reasoning, where none of its kind is
 * left. Clients keep both across a snapshot that has none: no replay can take them back.
 */
function hasLeftovers({ messages }: Held, held: Held): boolean {
  const isHeld = (role: unknown) => held.messages.some((message) => message.role === role);
  return ["activity", "reasoning"].some(
    (role) => !isHeld(role) && messages.some((message) => message.role === role),
  );
}

/** A snapshot cannot show a message without an id, or two messages of one id. */
function isShowable({ messages }: Held): boolean {
  const ids = new Set(messages.map(({ id }) => id));
  return ids.size === messages.length && !ids.has(undefined);
}

test("a fresh client holds what the live one does, whatever was said, and however many runs are replayed", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, durability: "normal" });
  // On PostgreSQL, views of such short threads are not kept.
  const keepView = (threadId: string, leaveOut: number) =>
    process.env.RUNNER_POSTGRES_URL === undefined && keepViewOf(dbPath, threadId, leaveOut);
  let number = 0;
  let compared = 0;
  let whole = 0;
  const property = fc.asyncProperty(randomThread, async (runs) => {
    // Agents expand chunks before the runner sees them.
    fc.pre(!runs.some(({ events }) => events.some(({ type }) => type.endsWith("_CHUNK"))));
    const threadId = `thread ${++number}`;
    const held = await talk(runner, threadId, runs);
    if (held === null || !isShowable(held)) return;
    compared++;
    for (const asked of ["", "1", "2", "3", "kept 1", "kept 2", "kept 3"]) {
      // The view from which the next replay begins is kept, or an earlier one is.
      if (asked === "kept 1") keepView(threadId, number % 4);
      const headers = asked === "" ? {} : { "x-replay-runs": asked.replace("kept ", "") };
      const replay = await collect(runner.connect({ threadId, headers }));
      const shown = await shownBy(replay);
      if (hasLeftovers(shown, held)) continue;
      whole++;
      const { messages, state } = shown;
      expect({ messages, state }, `runs: ${asked}`).toEqual({
        messages: held.messages,
        state: held.state,
      });
    }
  });
  await fc.assert(property, { seed, numRuns: THREADS, endOnFailure: true });
  expect(compared).toBeGreaterThan(THREADS / 4);
  expect(whole).toBeGreaterThan(compared);
});
