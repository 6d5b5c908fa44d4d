import { expect, onTestFinished, test } from "vitest";
import type { LiveMessages } from "../../src/inspector/api.ts";
import { Inspector, type LiveMessage } from "../support/inspector.ts";
import { delta } from "../support/message-events.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun } from "../support/runner-process.ts";
import { answeringAgent, finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** What a page hears of a thread. */
function listen(
  inspector: Inspector,
  thread: string,
  headers: Readonly<Record<string, string>> = {},
) {
  const messages = inspector.live(thread, headers);
  const close = async () => void (await messages.return());
  onTestFinished(close);
  /** What came while a message of another name was awaited: messages of two names come in any order. */
  const unread: LiveMessage[] = [];
  /** The next message of a name that fits. Those of that name before it are passed over. */
  async function until<Name extends keyof LiveMessages>(
    name: Name,
    fits: (data: LiveMessages[Name]) => boolean = () => true,
  ): Promise<Extract<LiveMessage, { name: Name }>> {
    for (;;) {
      const message = await next(name);
      if (fits(message.data as LiveMessages[Name])) return message;
    }
  }
  async function next<Name extends keyof LiveMessages>(name: Name) {
    const known = unread.findIndex((message) => message.name === name);
    if (known >= 0) return unread.splice(known, 1)[0] as Extract<LiveMessage, { name: Name }>;
    for (;;) {
      const { value, done } = await messages.next();
      if (done === true) throw new Error(`no message ${name} came`);
      if (value.name === name) return value as Extract<LiveMessage, { name: Name }>;
      unread.push(value);
    }
  }
  /** The events from here on, until one of a type. */
  async function eventsUntil(type: string) {
    const items: LiveMessages["events"]["items"][number][] = [];
    let id = "";
    while (items.at(-1)?.type !== type) {
      const message = await until("events");
      items.push(...message.data.items);
      ({ id } = message);
    }
    return { items, id };
  }
  return { until, eventsUntil, close };
}

test("a run of another process is told as it grows, then its end, and then the next run", async () => {
  const db = tempDatabase();
  const { owner, run, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const page = listen(inspector, "t");
  const first = await page.until("thread");
  expect(first.data).toMatchObject({
    thread: { id: "t", isRunning: true },
    live: { runId: "r", stop: "none" },
  });
  const epoch = first.data.live?.epoch;
  const begun = await page.eventsUntil("TEXT_MESSAGE_CONTENT");
  expect(begun.items.map(({ index }) => index)).toEqual([0, 1, 2]);
  await run.emit(delta("m", "and on"));
  const grown = await page.until("events");
  expect(grown.data).toMatchObject({ epoch, from: 3, items: [{ event: { delta: "and on" } }] });
  await finish();
  expect((await page.until("end")).data).toEqual({ epoch, isStored: true, storedEpoch: epoch });
  await page.until("thread", ({ live, thread }) => live === null && thread?.runs === 1);
  const ids = { threadId: "t", runId: "r" };
  const next = owner.run("t", "r");
  await next.emit(started(ids), ...text("m2", "again"));
  const second = await page.until("events", (events) => events.epoch !== epoch);
  expect(second.data.epoch).toBeGreaterThan(epoch ?? 0);
  expect(second.data.from).toBe(0);
  await next.emit(finished(ids));
  await next.finish();
  await page.until("end", (end) => end.epoch === second.data.epoch);
  await owner.close();
});

test("the routes of a run answer while it executes", async () => {
  const db = tempDatabase();
  const { owner, run, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const { live, runs } = await inspector.get("api/runs", { thread: "t" });
  expect(runs).toEqual([]);
  const query = { thread: "t", epoch: String(live?.epoch), run: "r" };
  // On a busy machine, the first answers may come before the run is followed.
  await eventually(async () => (await inspector.get("api/run/events", query)).total === 3);
  const answer = await inspector.get("api/run", query);
  expect(answer).toMatchObject({ run: null, live: { runId: "r" }, times: { endedAt: null } });
  const { events, isLive } = await inspector.get("api/run/events", query);
  expect([events.map(({ type }) => type), isLive]).toEqual([
    ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"],
    true,
  ]);
  const { spans } = await inspector.get("api/run/timeline", query);
  expect(spans.map(({ kind, isOpen }) => [kind, isOpen])).toEqual([
    ["run", true],
    ["message", true],
  ]);
  expect(await inspector.get("api/run/state", query)).toMatchObject({ total: 0, after: null });
  expect(await inspector.get("api/run/messages", query)).toMatchObject({ added: [] });
  await run.emit(delta("m", "more"));
  await eventually(async () => (await inspector.get("api/run/events", query)).total === 4);
  await finish();
  const stored = await eventually(async () => {
    const { status, body } = await inspector.tryGet("run", query);
    return status === 200 && (body as { run: object | null }).run !== null && body;
  });
  // The deltas are merged.
  expect(stored).toMatchObject({ events: 5, live: null });
  await owner.close();
});

test("a page that was cut off goes on behind the last event that it got", async () => {
  const db = tempDatabase();
  const { owner, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const page = listen(inspector, "t");
  const { id } = await page.eventsUntil("TEXT_MESSAGE_CONTENT");
  await page.close();
  const again = listen(inspector, "t", { "last-event-id": id });
  await again.until("thread");
  await finish();
  const { items } = await again.eventsUntil("RUN_FINISHED");
  expect(items.map(({ type }) => type)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
  expect(items[0]?.index).toBe(3);
  const odd = listen(inspector, "t", { "last-event-id": "1:x" });
  await odd.until("thread");
  await owner.close();
});

test("pages that are closed, or read nothing, hold up nobody", async () => {
  const db = tempDatabase();
  const { owner, run, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  // This one never reads on.
  const idle = listen(inspector, "t");
  await idle.until("thread");
  for (let at = 0; at < 5; at++) {
    const page = listen(inspector, "t");
    await page.until("events");
    await page.close();
  }
  const reading = listen(inspector, "t");
  await reading.until("thread");
  for (let at = 0; at < 20; at++)
    await run.emit({ type: "CUSTOM", name: "n", value: "x".repeat(100_000) });
  await finish();
  const { items } = await reading.eventsUntil("RUN_FINISHED");
  expect(items.filter(({ type }) => type === "CUSTOM")).toHaveLength(20);
  expect((await inspector.get("api/threads", {})).threads).toHaveLength(1);
  const { code } = await inspector.end();
  expect(code).toBe(0);
  await owner.close();
});

test("a run is stopped, and a run whose process is killed is ended", async () => {
  const db = tempDatabase();
  const { owner, run } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const page = listen(inspector, "t");
  await page.until("events");
  const wrong = await inspector.post("api/stop", { thread: "t", runId: "other" });
  expect(JSON.parse(wrong.text)).toEqual({ isStopped: false });
  const stopped = await inspector.post("api/stop", { thread: "t", runId: "r" });
  expect(JSON.parse(stopped.text)).toEqual({ isStopped: true });
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  await page.until("end");
  const again = owner.run("t", "r2");
  await again.emit(started({ threadId: "t", runId: "r2" }), ...text("m2", "again"));
  const { epoch } = (await page.until("events", ({ runId }) => runId === "r2")).data;
  await owner.kill();
  const end = await page.until("end");
  expect(end.data).toMatchObject({ epoch, isStored: true });
  const { runs } = await inspector.get("api/runs", { thread: "t" });
  const { storedEpoch } = end.data;
  expect(runs.at(-1)).toMatchObject({ runId: "r2", isRecovered: true, epoch: storedEpoch });
});

test("who holds what is told, of several processes", async () => {
  const db = tempDatabase();
  const { owner, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const holders = await inspector.get("api/holders", {});
  expect(holders).toMatchObject({ heldTotal: 1, queue: { depth: 0, bytes: 0 } });
  const [held] = holders.held;
  expect(held).toMatchObject({ threadId: "t", runId: "r", isAlive: true, stop: "none" });
  expect(held?.journal?.bytes).toBeGreaterThan(50);
  expect(holders.journals.bytes).toBeGreaterThanOrEqual(held?.journal?.bytes ?? 0);
  const byPid = new Map(holders.instances.map((instance) => [instance.pid, instance]));
  expect(byPid.get(owner.pid)).toMatchObject({
    isOwn: false,
    isAlive: true,
    held: 1,
    id: held?.instanceId,
  });
  expect(byPid.get(inspector.child.process.pid ?? 0)).toMatchObject({ isOwn: true, held: 0 });
  await finish();
  expect((await inspector.get("api/holders", {})).held).toEqual([]);
  await owner.close();
});

test("a busy server is looked at while it works, and its runs are as they would be", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, onConcurrentRun: "enqueue" });
  await runner.ready();
  const inspector = await Inspector.start(dbPath);
  const heard = listen(inspector, "t0").until("thread", ({ thread }) => thread?.runs === 40);
  const jobs = Array.from({ length: 2000 }, (_, at) =>
    runToEnd(runner, `t${at % 50}`, `r${at}`, answeringAgent()),
  );
  const looks: number[] = [];
  const isDone = Promise.all(jobs).then(() => true);
  while (!(await Promise.race([isDone, false]))) {
    const answers = await Promise.all([
      inspector.tryGet("threads"),
      inspector.tryGet("holders"),
      inspector.tryGet("totals"),
      inspector.tryGet("runs", { thread: "t1" }),
    ]);
    looks.push(...answers.map(({ status }) => status));
  }
  expect(new Set(looks)).toEqual(new Set([200]));
  expect((await jobs[0])?.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  const { threads } = await inspector.get("api/threads", { limit: "100" });
  expect(threads.map(({ runs }) => runs)).toEqual(Array.from({ length: 50 }, () => 40));
  await heard;
});

test("a thread that nobody knows yet is told once it begins, and once it is gone", async () => {
  const db = tempDatabase();
  const { owner, finish } = await processInMidRun(db);
  const inspector = await Inspector.start(db);
  const page = listen(inspector, "later");
  expect((await page.until("thread")).data).toEqual({ thread: null, live: null });
  const run = owner.run("later", "r");
  const ids = { threadId: "later", runId: "r" };
  await run.emit(started(ids), ...text("m", "hello"));
  await page.until("thread", ({ thread }) => thread?.id === "later");
  await page.until("events");
  await run.emit(finished(ids));
  await run.finish();
  await page.until("end");
  await owner.threads("delete", "later");
  await page.until("thread", ({ thread }) => thread === null);
  await finish();
  await owner.close();
});
