import "../support/leak-guard.ts";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { REPEATING_TALKS, type RepeatingTalk } from "../../bench/workloads/repeating-talks.ts";
import type { EventLike } from "../../src/events/event.ts";
import { StoreUnderTest } from "../../src/store/conformance/store-under-test.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { newSchema, postgresStore } from "../support/postgres-store.ts";

let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
  url = await server.newDatabase();
});
afterAll(() => server.stop());

const open = (schema: string) =>
  new StoreUnderTest(postgresStore({ connectionString: url, schema }));

function opened(schema: string): StoreUnderTest {
  const store = open(schema);
  onTestFinished(() => store.close().catch(() => undefined));
  return store;
}

const message = (id: string, words = "said 👩‍👩‍👧‍👦 ") => ({
  id,
  role: "user",
  content: `${id} ${words.repeat(40)}`,
});

const messagesUpTo = (turn: number) =>
  Array.from({ length: turn }, (_, at) => message(`message-${at}`));

interface Run {
  readonly runId: string;
  readonly events: readonly EventLike[];
}

/** A run that says what the thread is: `messages` in a snapshot, and in a state or in its input. */
function runWith(runId: string, messages: readonly unknown[], { state = true } = {}): Run {
  const ids = { threadId: "t", runId };
  const input = {
    ...ids,
    messages: messages.slice(-1),
    state: { messages },
    tools: [message("a tool")],
  };
  return {
    runId,
    events: [
      { type: "RUN_STARTED", ...ids, ...(!state && { input }) },
      { type: "MESSAGES_SNAPSHOT", messages },
      { type: "CUSTOM", name: "note", value: runId },
      ...(state ? [{ type: "STATE_SNAPSHOT", snapshot: { step: runId, messages } }] : []),
      { type: "RUN_FINISHED", ...ids },
    ],
  };
}

const store = (to: StoreUnderTest, { runId, events }: Run) => to.storeRun("t", runId, events);

async function expectStored(
  from: StoreUnderTest,
  runs: readonly Run[],
  threadId = "t",
): Promise<void> {
  const found = await from.history(threadId);
  expect(found.map(({ runId }) => runId)).toEqual(runs.map(({ runId }) => runId));
  for (const [at, { events }] of runs.entries()) expect(found[at]?.events).toEqual(events);
}

const query = (text: string) => server.query(text, url);

const count = async (table: string) =>
  Number((await query(`SELECT count(*) AS rows FROM ${table}`))[0].rows);

/** From `again` on, the next transaction that stores a run fails after everything was written, once. */
async function failing(schema: string): Promise<{ readonly again: () => Promise<void> }> {
  await query(`CREATE SEQUENCE ${schema}.tries START 2`);
  // What was drawn from a sequence is not rolled back.
  await query(`CREATE FUNCTION ${schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('${schema}.tries') = 1 THEN RAISE 'once' USING ERRCODE = '40001'; END IF;
    RETURN NULL; END $$`);
  await query(`CREATE CONSTRAINT TRIGGER failing AFTER INSERT ON ${schema}.runs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${schema}.fail()`);
  return { again: async () => void (await query(`ALTER SEQUENCE ${schema}.tries RESTART WITH 1`)) };
}

type Step =
  | { readonly do: "run" | "run elsewhere"; readonly words: string; readonly state: boolean }
  | { readonly do: "edit" | "fork"; readonly at: number }
  | { readonly do: "purge"; readonly keep: number }
  | { readonly do: "fail once" | "restart" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("run" as const, "run elsewhere" as const),
      words: fc.oneof(
        fc.string({ unit: "binary", minLength: 1 }),
        fc.constant("\ud83d\udc69\udc69"),
      ),
      state: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constantFrom("edit" as const, "fork" as const), at: fc.nat() }),
  fc.record({ do: fc.constant("purge" as const), keep: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constantFrom("fail once" as const, "restart" as const) }),
);

/** The copy of the run is rolled back, and done again. */
const FORK_THAT_FAILS_ONCE: Step[] = [
  { do: "run", words: "said ", state: false },
  { do: "fail once" },
  { do: "fork", at: 0 },
];

describe("runs that hold what other runs hold", () => {
  test("come back as they were emitted, whichever host stored them", async () => {
    const steps = fc.array(anyStep, { minLength: 4, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(steps, async (drawn) => {
        const schema = newSchema();
        let [here, elsewhere] = [open(schema), open(schema)];
        try {
          await here.port.ready();
          const { again } = await failing(schema);
          let runs: Run[] = [];
          let stored = 0;
          let forks = 0;
          let messages: unknown[] = [];
          for (const step of drawn) {
            if (step.do === "fail once") await again();
            if (step.do === "edit" && messages.length > 0) {
              messages = messages.with(step.at % messages.length, message("edited", "anew "));
            }
            if (step.do === "restart") {
              await here.close();
              here = open(schema);
            }
            if (step.do === "purge") {
              await here.port.threads?.purge({ maxRunsPerThread: step.keep, scope: "every" });
              runs = runs.slice(-step.keep);
              await expectStored(elsewhere, runs);
            }
            if (step.do === "fork" && runs.length > 0) {
              const last = step.at % runs.length;
              const newThreadId = `fork-${++forks}`;
              const request = { threadId: "t", newThreadId, atRun: runs[last]?.runId };
              await elsewhere.port.threads?.fork(request, { resourceId: null });
              const forked = runs.slice(0, last + 1);
              await expectStored(here, forked, newThreadId);
              // It goes on by itself.
              const next = runWith("of-the-fork", [...messages, message("of the fork")]);
              await here.storeRun(newThreadId, next.runId, next.events);
              await expectStored(elsewhere, [...forked, next], newThreadId);
            }
            if (step.do !== "run" && step.do !== "run elsewhere") continue;
            const runId = `run-${++stored}`;
            messages = [...messages, message(runId, step.words)];
            const run = runWith(runId, messages, step);
            runs.push(run);
            await store(step.do === "run" ? here : elsewhere, run);
          }
          await expectStored(here, runs);
          await expectStored(elsewhere, runs);
        } finally {
          await Promise.allSettled([here.close(), elsewhere.close()]);
        }
      }),
      { numRuns: 12, examples: [[FORK_THAT_FAILS_ONCE]] },
    );
  });

  test("repeat nothing of a run whose transaction was rolled back", async () => {
    const schema = newSchema();
    const [here, elsewhere] = [opened(schema), opened(schema)];
    const first = runWith("run-1", messagesUpTo(5));
    await store(here, first);
    await query(`CREATE FUNCTION ${schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'no'; END $$`);
    await query(`CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON ${schema}.runs
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${schema}.refuse()`);
    const lost = runWith("lost", [...messagesUpTo(5), message("lost", "gone ".repeat(500))]);
    await expect(store(here, lost)).rejects.toThrow();
    await query(`DROP TRIGGER refusing ON ${schema}.runs`);
    const second = runWith("run-2", [...messagesUpTo(5), message("other", "kept ".repeat(500))]);
    await store(elsewhere, second);
    const third = runWith("run-3", [...messagesUpTo(5), message("lost", "gone ".repeat(500))]);
    await store(here, third);
    await expectStored(elsewhere, [first, second, third]);
  });

  test("take the room of what is new in each of them, also when hosts take turns", async () => {
    const schema = newSchema();
    const hosts = [opened(schema), opened(schema)];
    const runs: Run[] = [];
    for (let turn = 1; turn <= 40; turn++) {
      const run = runWith(`run-${turn}`, messagesUpTo(turn));
      runs.push(run);
      await store(hosts[turn % 2] as StoreUnderTest, run);
    }
    await expectStored(hosts[0] as StoreUnderTest, runs);
    const said = JSON.stringify(messagesUpTo(40)).length;
    const [{ length }] = await query(
      `SELECT sum(length)::int4 AS length FROM ${schema}.shared_values`,
    );
    // The messages, and the state.
    expect(length).toBeLessThan(2.5 * said);
  });

  test("of one batch are stored in order", async () => {
    const schema = newSchema();
    const host = opened(schema);
    const ids = ["a", "b", "c", "d", "e"];
    const of = (threadId: string, turn: number) =>
      host.storeRun(threadId, `run-${turn}`, runWith(`run-${turn}`, messagesUpTo(turn)).events);
    for (const turn of [1, 2, 3]) await Promise.all(ids.map((id) => of(id, turn)));
    for (const id of ids) {
      const history = await host.history(id);
      const expected = [1, 2, 3].map((turn) => runWith(`run-${turn}`, messagesUpTo(turn)).events);
      expect(history.map(({ events }) => events)).toEqual(expected);
    }
  });

  test("leave the ids of their messages known to the next claim, on any host", async () => {
    const schema = newSchema();
    const [here, elsewhere] = [opened(schema), opened(schema)];
    await store(here, runWith("run-1", messagesUpTo(5)));
    const ids = ["message-0", "message-4", "message-5"];
    expect(await elsewhere.seen("t", "run-2", ids)).toEqual([true, true, false]);
  });
});

test("runs without snapshots and long inputs write no values", async () => {
  const schema = newSchema();
  const host = opened(schema);
  const events = [{ type: "RUN_STARTED" }, { type: "CUSTOM", value: "x".repeat(5000) }];
  await host.storeRun("t", "r", [...events, { type: "RUN_FINISHED" }]);
  expect(await count(`${schema}.shared_values`)).toBe(0);
  expect(await query(`SELECT shared_events, shared_input FROM ${schema}.runs`)).toEqual([
    { shared_events: null, shared_input: null },
  ]);
});

test("where values were taken away, their run cannot be read, and the next one is stored whole", async () => {
  const schema = newSchema();
  const host = opened(schema);
  const runs = [1, 2, 3].map((at) => runWith(`run-${at}`, messagesUpTo(at + 1)));
  for (const run of runs) await store(host, run);
  await query(`DELETE FROM ${schema}.shared_values`);
  const next = opened(schema);
  const run = runWith("run-4", messagesUpTo(5));
  await store(next, run);
  const history = await next.history("t");
  expect(history.map(({ events }) => events)).toEqual([[], [], [], run.events]);
});

test("a replay reads nothing of snapshots, and says that they are missing", async () => {
  const schema = newSchema();
  const host = opened(schema);
  for (const turn of [1, 2]) await store(host, runWith(`run-${turn}`, messagesUpTo(turn)));
  await host.storeRun("plain", "r");
  const { segments, trimmed } = await host.port.readHistory("t", null, { forReplay: true });
  const types = segments.flatMap(({ events }) => events.map(({ type }) => type));
  expect(new Set(types)).toEqual(new Set(["RUN_STARTED", "CUSTOM", "RUN_FINISHED"]));
  expect(trimmed).toBe(true);
  const plain = await host.port.readHistory("plain", null, { forReplay: true });
  expect([plain.segments.length, plain.trimmed]).toEqual([1, false]);
});

/** Bytes of the text that is stored, and of the tables with it. */
async function sizesAfter(talk: RepeatingTalk, turns: number) {
  const schema = newSchema();
  const host = open(schema);
  await host.port.ready();
  for (const { input, events } of talk.turns(turns)) {
    const run = await host.claimed(input.threadId, input.runId);
    run.setInput({ ...input });
    for (const event of events) run.append(event);
    await run.finish();
  }
  await host.close();
  const bytes = (columns: string[], table: string) =>
    `(SELECT coalesce(sum(${columns.map((column) => `coalesce(octet_length(${column}), 0)`).join("+")}), 0)
      FROM ${schema}.${table})`;
  const columns = ["events", "input", "shared_events", "shared_input"];
  const [sizes] = await query(
    `SELECT (${bytes(columns, "runs")} + ${bytes(["text"], "shared_values")})::int4 AS text,
       (pg_total_relation_size('${schema}.runs') + pg_total_relation_size('${schema}.shared_values'))::int4 AS pages`,
  );
  return sizes as { readonly text: number; readonly pages: number };
}

const [graph, tools, attachment] = REPEATING_TALKS as [RepeatingTalk, RepeatingTalk, RepeatingTalk];

test.each<[string, RepeatingTalk, number]>([
  [graph.name, graph, 40],
  [tools.name, tools, 40],
  [attachment.name, attachment, 6],
])("what is stored grows with the talk, not with its square: %s", async (_name, talk, turns) => {
  const half = await sizesAfter(talk, turns);
  const whole = await sizesAfter(talk, 2 * turns);
  expect(whole.text).toBeLessThan(2.2 * half.text);
  expect(whole.pages).toBeLessThan(2.2 * half.pages);
  expect(whole.text).toBeLessThan(5 * talk.saidIn(2 * turns));
});
