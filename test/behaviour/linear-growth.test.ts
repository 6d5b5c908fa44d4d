import "../support/leak-guard.ts";
import { createHash } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { REPEATING_TALKS, type RepeatingTalk } from "../../bench/workloads/repeating-talks.ts";
import type {
  HistoryCursor,
  HistoryPage,
  SqliteAgentRunner,
  SqliteAgentRunnerOptions,
} from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import { collect, openRunner, replayOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type ScriptEvent, scriptedAgent } from "../support/scripted-agent.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** UTF-16 units that a page of history holds, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;

/** Has a talk on a thread "talk", and returns the events of each run as clients saw them. */
async function haveTalk(
  runner: SqliteAgentRunner,
  talk: RepeatingTalk,
  turns: number,
): Promise<ScriptEvent[][]> {
  const runs: ScriptEvent[][] = [];
  for (const { input, events } of talk.turns(turns)) {
    const agent = scriptedAgent(() => events as readonly ScriptEvent[]);
    runs.push(await collect(runner.run({ threadId: input.threadId, agent, input })));
  }
  return runs;
}

/** Bytes of the text that is stored, and of all pages but those of the search index, which is merged later. */
function sizesOf(dbPath: string): { readonly text: number; readonly pages: number } {
  return withDatabase(dbPath, (db) => {
    const value = (sql: string) => db.prepare<[], number>(`SELECT ${sql}`).pluck().get() ?? 0;
    const ofRuns = value(
      `coalesce(sum(octet_length(events) + octet_length(input) + coalesce(octet_length(shared_events), 0)
        + coalesce(octet_length(shared_input), 0)), 0) FROM agent_runs`,
    );
    const ofValues = value("coalesce(sum(octet_length(text)), 0) FROM shared_values");
    const pages = value("sum(pgsize) FROM dbstat WHERE name NOT LIKE 'thread_search%'");
    return { text: ofRuns + ofValues, pages };
  });
}

async function sizesAfter(
  talk: RepeatingTalk,
  turns: number,
  options: SqliteAgentRunnerOptions = {},
): Promise<ReturnType<typeof sizesOf>> {
  const dbPath = tempDatabase();
  const runner = openRunner({ ...options, dbPath });
  await runner.ready();
  await haveTalk(runner, talk, turns);
  await runner.close();
  return sizesOf(dbPath);
}

const [graph, tools, attachment] = REPEATING_TALKS as [RepeatingTalk, RepeatingTalk, RepeatingTalk];

/** The client's whole list of messages in each run, twice. */
const FULL: SqliteAgentRunnerOptions = { storeInput: "full", inputMessages: "authoritative" };

test.each<[string, RepeatingTalk, number, SqliteAgentRunnerOptions]>([
  [graph.name, graph, 60, {}],
  [`${graph.name}, and all that the client sends`, graph, 60, FULL],
  [tools.name, tools, 60, {}],
  [attachment.name, attachment, 6, {}],
])(
  "what is stored grows with the talk, not with its square: %s",
  async (_name, talk, turns, options) => {
    const none = await sizesAfter(talk, 0, options);
    const half = await sizesAfter(talk, turns, options);
    const whole = await sizesAfter(talk, 2 * turns, options);
    expect(whole.text).toBeLessThan(2.2 * half.text);
    // Whether a second view is kept differs by some pages.
    expect(whole.pages).toBeLessThan(2.5 * half.pages);
    // Each message is in the events that stream it; each question in the input too. Messages and state are
    // deflated. Images, tools and context are there once.
    expect(whole.text).toBeLessThan(3 * talk.saidIn(2 * turns));
    expect(whole.pages - none.pages).toBeLessThan(5 * talk.saidIn(2 * turns));
  },
);

test("an attachment is stored once, however many snapshots hold it", async () => {
  const { text } = await sizesAfter(attachment, 4);
  expect(text).toBeLessThan(1.1 * attachment.saidIn(4));
});

/**
 * A run's events as its store gives them back: deltas of one message are one, and `forwardedProps` is not
 * stored. Digests, because the events are long.
 */
function storedFormOf(events: readonly ScriptEvent[]): string[] {
  const merged: ScriptEvent[] = [];
  for (const event of events) {
    const last = merged.at(-1);
    if (event.type === "TEXT_MESSAGE_CONTENT" && last?.type === event.type) {
      merged[merged.length - 1] = { ...last, delta: `${last.delta}${event.delta}` };
    } else {
      merged.push(event);
    }
  }
  const json = (key: string, value: unknown) => (key === "forwardedProps" ? undefined : value);
  return merged.map((event) => {
    const digest = createHash("sha256").update(JSON.stringify(event, json)).digest("hex");
    return `${event.type} ${digest}`;
  });
}

/** All that is stored of the thread "talk", read by a process that begins, page by page. */
async function storedEvents(dbPath: string): Promise<ScriptEvent[]> {
  const store = sqliteStore(dbPath);
  onTestFinished(() => store.close(1000));
  await store.ready();
  const events: ScriptEvent[] = [];
  let cursor: HistoryCursor | null = null;
  do {
    const page: HistoryPage = await store.readHistory("talk", cursor);
    const onPage = page.segments.flatMap((segment) => segment.events as ScriptEvent[]);
    const lengths = onPage.map((event) => JSON.stringify(event).length);
    const length = lengths.reduce((sum, one) => sum + one + 1, 0);
    expect(length).toBeLessThanOrEqual(Math.max(PAGE_LENGTH, ...lengths.map((one) => one + 1)));
    events.push(...onPage);
    cursor = page.next;
  } while (cursor !== null);
  return events;
}

test.each([
  [graph.name, graph, 40],
  [tools.name, tools, 4],
  [attachment.name, attachment, 3],
] as const)(
  "another process reads a talk as it was, in short pages: %s",
  async (_name, talk, turns) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const runs = await haveTalk(runner, talk, turns);
    await runner.close();
    expect(storedFormOf(await storedEvents(dbPath))).toEqual(runs.flatMap(storedFormOf));
  },
);

test("what purged runs alone had is deleted by an open runner, and the talk goes on", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, leaseMs: 300 });
  await haveTalk(runner, graph, 12);
  const values = () =>
    withDatabase(dbPath, (db) => db.prepare("SELECT count(*) FROM shared_values").pluck().get());
  expect(values()).not.toBe(0);
  withDatabase(dbPath, (db) => {
    db.exec("UPDATE agent_runs SET created_at = 1");
    // The documented statement of version 1.
    db.prepare("DELETE FROM agent_runs WHERE created_at < ?").run(2);
  });
  await eventually(() => values() === 0);
  expect(await replayOf(runner, "talk")).toEqual([]);
  const again = await haveTalk(runner, graph, 2);
  expect(storedFormOf(await storedEvents(dbPath))).toEqual(again.flatMap(storedFormOf));
});
