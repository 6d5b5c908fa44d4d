import { describe, expect, test } from "vitest";
import { EVERY_RESOURCE, withResource } from "../../src/index.ts";
import type { ThreadSummary } from "../../src/inspector/api.ts";
import { version1Files } from "../fixtures/sources.ts";
import { cli, fileWithThreads } from "../support/cli.ts";
import { Inspector } from "../support/inspector.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually, laterMillisecond } from "../support/poll.ts";
import { answeringAgent, scriptedAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const idsOf = ({ threads }: { readonly threads: readonly ThreadSummary[] }) =>
  threads.map(({ id }) => id);

const ODD_IDS = [
  "a/b",
  "..",
  ".",
  "%2e%2e",
  "%",
  "ü \u{1f600}",
  "a?b#c&d=e+f",
  "\0",
  "x".repeat(5000),
  "\\",
  '"',
];

test("threads of any id are listed, read, and their runs and events too", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of ODD_IDS) await runToEnd(runner, id, `run of ${id}`, answeringAgent());
  await runner.close();
  const inspector = await Inspector.start(dbPath);
  expect(idsOf(await inspector.get("api/threads", { limit: "100" })).sort()).toEqual(
    ODD_IDS.toSorted(),
  );
  for (const thread of ODD_IDS) {
    expect((await inspector.get("api/thread", { thread })).thread.id).toBe(thread);
    const [run] = (await inspector.get("api/runs", { thread })).runs;
    expect(run?.runId).toBe(`run of ${thread}`);
    const query = { thread, epoch: String(run?.epoch), run: run?.runId ?? "" };
    const { events } = await inspector.get("api/run/events", query);
    expect(events[0]?.event).toMatchObject({ type: "RUN_STARTED", threadId: thread });
  }
});

test("what is asked wrongly is refused, and says what was expected", async () => {
  const inspector = await Inspector.start(await fileWithThreads());
  const wrong: [path: string, query: object, status: number, code: string][] = [
    ["thread", {}, 400, "INVALID_REQUEST"],
    ["thread", { thread: "" }, 400, "INVALID_REQUEST"],
    ["thread", { thread: "none" }, 404, "THREAD_NOT_FOUND"],
    ["messages", { thread: "none" }, 404, "THREAD_NOT_FOUND"],
    ["state", { thread: "none" }, 404, "THREAD_NOT_FOUND"],
    ["messages", { thread: "t", epoch: "99" }, 404, "RUN_NOT_FOUND"],
    ["threads", { limit: "0" }, 400, "INVALID_REQUEST"],
    ["threads", { limit: "1e2" }, 400, "INVALID_REQUEST"],
    ["threads", { limit: "501" }, 400, "INVALID_REQUEST"],
    ["threads", { order: "oldest" }, 400, "INVALID_REQUEST"],
    ["threads", { status: "odd" }, 400, "INVALID_REQUEST"],
    ["threads", { archived: "1" }, 400, "INVALID_REQUEST"],
    ["threads", { metadata: "[" }, 400, "INVALID_REQUEST"],
    ["threads", { metadata: "[1]" }, 400, "INVALID_REQUEST"],
    ["threads", { metadata: '{"a":{}}' }, 400, "INVALID_REQUEST"],
    ["threads", { cursor: "x" }, 400, "INVALID_CURSOR"],
    ["runs", { thread: "t", cursor: "x" }, 400, "INVALID_CURSOR"],
    ["run", { thread: "t" }, 400, "INVALID_REQUEST"],
    ["run", { thread: "t", epoch: "-1" }, 400, "INVALID_REQUEST"],
    ["run", { thread: "t", epoch: "9" }, 404, "RUN_NOT_FOUND"],
    ["run", { thread: "t", epoch: "1", run: "other" }, 404, "RUN_NOT_FOUND"],
    ["run/event", { thread: "t", epoch: "1" }, 400, "INVALID_REQUEST"],
    ["run/event", { thread: "t", epoch: "1", index: "99" }, 404, "EVENT_NOT_FOUND"],
    ["run/timeline", { thread: "none", epoch: "1" }, 404, "RUN_NOT_FOUND"],
    ["live", {}, 400, "INVALID_REQUEST"],
  ];
  for (const [path, query, status, code] of wrong) {
    const reply = await inspector.tryGet(path, query);
    expect({ path, query, status: reply.status, body: reply.body }).toMatchObject({
      ...{ path, query, status },
      body: { error: { code } },
    });
  }
  const other = await inspector.get("api/threads", { limit: "1" });
  const reply = await inspector.tryGet("threads", {
    limit: "1",
    order: "created",
    cursor: other.nextCursor,
  });
  expect(reply).toMatchObject({ status: 400, body: { error: { code: "INVALID_CURSOR" } } });
});

test("lists are filtered, by the status of the last run too", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const failing = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield { type: "RUN_ERROR", message: "no", code: "NO_MODEL" };
  });
  for (let at = 0; at < 30; at++) {
    await runToEnd(runner, `t${at}`, "r", at % 10 === 0 ? failing : answeringAgent());
  }
  // Threads that were made in the same millisecond are in the order of their ids.
  await laterMillisecond();
  await withResource("ann", () => runToEnd(runner, "of-ann", "r", answeringAgent()));
  await withResource(EVERY_RESOURCE, async () => {
    await runner.threads.archive("t3");
    await runner.threads.setMetadata("t4", { kind: "test" });
    await runner.threads.rename("t5", "Whales");
  });
  const inspector = await Inspector.start(dbPath);
  const list = async (query: Record<string, string>) =>
    idsOf(await inspector.get("api/threads", query));
  expect(await list({ resource: "ann" })).toEqual(["of-ann"]);
  expect(await list({ archived: "true" })).toEqual(["t3"]);
  expect(await list({ metadata: '{"kind":"test"}' })).toEqual(["t4"]);
  expect(await list({ search: "whal" })).toEqual(["t5"]);
  expect(await list({ order: "created", limit: "2" })).toEqual(["of-ann", "t29"]);
  expect(await list({ status: "running" })).toEqual([]);
  const failed: string[] = [];
  let cursor: string | null = null;
  do {
    const query: { status: string; limit: string; cursor?: string } = {
      status: "error",
      limit: "2",
    };
    if (cursor !== null) query.cursor = cursor;
    const page = await inspector.get("api/threads", query);
    expect(page.threads.length).toBeLessThanOrEqual(2);
    failed.push(...idsOf(page));
    cursor = page.nextCursor;
  } while (cursor !== null);
  expect(failed).toEqual(["t20", "t10", "t0"]);
  expect(await inspector.get("api/totals", {})).toMatchObject({
    ...{ threads: 31, archived: 1, running: 0, failed: 3, runs: 31 },
    resources: [
      { resourceId: null, threads: 30 },
      { resourceId: "ann", threads: 1 },
    ],
  });
  await inspector.end();
  const ofAnn = await Inspector.start(dbPath, ["--resource", "ann"]);
  expect(idsOf(await ofAnn.get("api/threads", {}))).toEqual(["of-ann"]);
  expect((await ofAnn.tryGet("thread", { thread: "t1" })).status).toBe(404);
  expect((await ofAnn.tryGet("run", { thread: "t1", epoch: "1" })).status).toBe(404);
  expect((await ofAnn.get("api/holders", {})).instances).toEqual([]);
});

test("forks know their ancestors, those that were removed too, and their forks", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "first", "r1", answeringAgent());
  await runner.threads.fork("first", { newThreadId: "second" });
  await runToEnd(runner, "second", "r2", answeringAgent());
  await runner.threads.fork("second", { newThreadId: "third", atRun: "r1" });
  await runner.threads.fork("second", { newThreadId: "other" });
  await runner.threads.delete("first");
  const inspector = await Inspector.start(dbPath);
  const third = await inspector.get("api/thread", { thread: "third" });
  expect(third.ancestors).toMatchObject([
    { threadId: "second", runId: "r1", thread: { runs: 2 } },
    { threadId: "first", runId: "r1", thread: null },
  ]);
  // On a busy machine, a thread is told before its forks are known.
  const second = await eventually(async () => {
    const answer = await inspector.get("api/thread", { thread: "second" });
    return answer.areForksKnown && answer;
  });
  expect(second.forks.map(({ threadId, runId }) => [threadId, runId]).sort()).toEqual([
    ["other", "r2"],
    ["third", "r1"],
  ]);
});

test("messages come page by page, from the end or from anywhere", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (let at = 0; at < 6; at++) await runToEnd(runner, "t", `r${at}`, answeringAgent());
  const inspector = await Inspector.start(dbPath);
  const all = await inspector.get("api/messages", { thread: "t" });
  expect([all.from, all.total, all.messages.length]).toEqual([0, all.total, all.total]);
  const last = await inspector.get("api/messages", { thread: "t", limit: "2" });
  expect(last.messages).toEqual(all.messages.slice(-2));
  const middle = await inspector.get("api/messages", { thread: "t", from: "1", limit: "3" });
  expect(middle.messages).toEqual(all.messages.slice(1, 4));
  const behind = await inspector.get("api/messages", { thread: "t", from: "999" });
  expect(behind.messages).toEqual([]);
  const { runs } = await inspector.get("api/runs", { thread: "t" });
  const first = runs[0];
  expect(all.epoch).toBe(runs.at(-1)?.epoch);
  const early = await inspector.get("api/messages", { thread: "t", epoch: String(first?.epoch) });
  expect(early.messages).toEqual(all.messages.slice(0, early.total));
  expect(early.total).toBeLessThan(all.total);
  expect(early.epoch).toBe(first?.epoch);
  // A run that is stored meanwhile is there at the next look.
  await runToEnd(runner, "t", "later", answeringAgent());
  expect((await inspector.get("api/messages", { thread: "t" })).total).toBeGreaterThan(all.total);
});

describe.each(version1Files)("a file of version 1, $name", ({ copy }) => {
  test("is not migrated unasked, and then all its runs can be told apart", async () => {
    const db = copy();
    const refused = await cli(["inspect", "--db", db]);
    expect([refused.code, refused.lines]).toEqual([1, []]);
    expect(refused.stderr).toContain("durable-agent-runner migrate --db");
    expect((await cli(["migrate", "--db", db])).code).toBe(0);
    const inspector = await Inspector.start(db);
    const { threads } = await inspector.get("api/threads", { limit: "500" });
    const several = threads.find(({ runs }) => runs > 1);
    const thread = several?.id ?? "";
    const { runs } = await inspector.get("api/runs", { thread, limit: "500" });
    expect(runs.length).toBe(several?.runs);
    for (const { epoch, runId } of runs.slice(0, 5)) {
      const answer = await inspector.get("api/run", { thread, epoch: String(epoch), run: runId });
      expect(answer.run).toMatchObject({ epoch, runId });
      expect(answer.events).toBeGreaterThan(0);
    }
    const [first, second] = runs;
    const query = { thread, epoch: String(second?.epoch), run: second?.runId ?? "" };
    expect((await inspector.get("api/run", query)).previous).toEqual({
      epoch: first?.epoch,
      runId: first?.runId,
    });
  });
});

test("10 000 threads are counted, and listed page by page", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, logger: undefined });
  for (let at = 0; at < 10_000; at += 500) {
    const ids = Array.from({ length: 500 }, (_, index) => `t${at + index}`);
    await Promise.all(ids.map((id) => runToEnd(runner, id, "r", answeringAgent())));
  }
  await runner.close();
  const inspector = await Inspector.start(dbPath);
  expect((await inspector.get("api/totals", {})).threads).toBe(10_000);
  const { body, bytes, status } = await inspector.tryGet("threads", { limit: "100" });
  expect([status, (body as { threads: unknown[] }).threads.length]).toEqual([200, 100]);
  expect(bytes).toBeLessThan(100_000);
  const sparse = await inspector.get("api/threads", { status: "error", limit: "100" });
  expect(sparse.threads).toEqual([]);
  expect(sparse.nextCursor).not.toBeNull();
});
