import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { expectNoneLeft, killInMidRun, offersIn } from "../support/crashed-run.ts";
import { runRows } from "../support/database-file.ts";
import { openRunner, runIdsIn, runToEnd, spokenIn } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type DistantRun, processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const HOUR_MS = 3_600_000;
const GIVEN_UP = "an interrupted run is given up: its reruns crash, too";
const ids = { threadId: "t", runId: "r" };
const question = (runId: string) => ({
  ...{ id: `question-${runId}`, role: "user" },
  content: `text of question-${runId}`,
});
const answer = (runId: string) => ({
  ...{ id: `answer-${runId}`, role: "assistant" },
  content: `answer to ${runId}`,
});

/** The messages of a client that connects. */
async function messagesOf(process_: RunnerProcess, resourceId?: string): Promise<unknown> {
  const replay = await process_.connect("t", resourceId).done;
  await verifyWithClients(replay);
  const [client] = await reduceWithClients(replay);
  return client?.messages;
}

describe("a run whose process was killed", () => {
  test("is handed to the next process, with its whole input, and run again", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath, onInterrupted: () => undefined });
    await runToEnd(first, "t", "earlier", answeringAgent());
    await first.close();
    const before = Date.now();
    await killInMidRun(dbPath);

    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    const run = await next.interrupted();
    expect(run).toMatchObject({
      ...{ threadId: "t", runId: "r", agentId: null, resourceId: null, attempt: 1 },
      input: { threadId: "t", runId: "r", state: {}, tools: [], context: [], forwardedProps: {} },
    });
    expect(run.startedAt).toBeGreaterThanOrEqual(before);
    expect(run.startedAt).toBeLessThanOrEqual(Date.now());
    expect(run.input.messages).toEqual([question("earlier"), answer("earlier"), question("r")]);
    expect(await next.reran()).toBeNull();
    const replay = await next.connect("t").done;
    expect(runIdsIn(replay)).toEqual(["earlier", "r", "r"]);
    expect(replay.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(await messagesOf(next)).toEqual([
      ...[question("earlier"), answer("earlier"), question("r"), answer("r")],
    ]);
    await next.close();
    await expectNoneLeft(dbPath);
  });

  test("is run again by one of several processes, and a client of another follows it", async () => {
    const dbPath = tempDatabase();
    const options = { onInterrupted: "hold", leaseMs: HOUR_MS } as const;
    const { owner } = await processInMidRun(dbPath, options);
    const others = await Promise.all(
      [1, 2, 3].map(() => RunnerProcess.open({ dbPath, ...options })),
    );
    await owner.kill();
    const found = await Promise.any(
      others.map(async (other) => {
        await other.interrupted();
        return other;
      }),
    );
    const { emit, finish } = await found.rerun();
    await emit(started(ids));
    const [follower = found] = others.filter((other) => other !== found);
    const followed = follower.connect("t");
    await followed.until(() => runIdsIn(followed.events).length === 2);
    await emit(finished(ids));
    await finish();
    expect((await followed.done).at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: "r" });
    await verifyWithClients(followed.events);
    expect(await found.reran()).toBeNull();
    for (const other of others) await other.close();
    expect(others.flatMap(({ interruptedRuns }) => interruptedRuns)).toHaveLength(1);
    expect(runRows(dbPath, "t")).toHaveLength(2);
  });

  test("is run again although its agent had emitted nothing", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, onInterrupted: "decline" });
    await owner.run("t", "earlier").finish();
    const run = owner.run("t", "r", { messages: ["question-earlier"] });
    await run.started();
    await owner.flush();
    await owner.kill();
    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    expect((await next.interrupted()).input.messages).toEqual([question("earlier")]);
    expect(await next.reran()).toBeNull();
    expect(await messagesOf(next)).toEqual([question("earlier"), answer("r")]);
    await next.close();
    await expectNoneLeft(dbPath);
  });

  test("is run again with the list of messages that its client had: a regenerated answer", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath });
    await runToEnd(first, "t", "r1", answeringAgent());
    await runToEnd(first, "t", "r2", answeringAgent());
    await first.close();
    const owner = await RunnerProcess.open({ dbPath, onInterrupted: "decline" });
    await owner.run("t", "r", { messages: ["question-r1", "answer-r1", "question-r2"] }).started();
    await owner.flush();
    await owner.kill();
    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    const messages = [question("r1"), answer("r1"), question("r2")];
    expect((await next.interrupted()).input.messages).toEqual(messages);
    expect(await next.reran()).toBeNull();
    expect(await messagesOf(next)).toEqual([...messages, answer("r")]);
    await next.close();
  });

  test("stays as it is without the option", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath);
    await owner.kill();
    await expectNoneLeft(dbPath);
    expect(runRows(dbPath, "t")).toHaveLength(1);
  });

  test("is run again although a process without the option has ended it", async () => {
    const dbPath = await killInMidRun();
    const script = openRunner({ dbPath });
    await script.ready();
    await script.close();
    expect(runRows(dbPath, "t")).toHaveLength(1);
    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    expect(await next.reran()).toBeNull();
    await next.close();
  });

  test("is handed over within its resource, which the rerun belongs to", async () => {
    const dbPath = tempDatabase();
    const options = { dbPath, resources: "required", onInterrupted: "answer" } as const;
    const owner = await RunnerProcess.open(options);
    const run = owner.run("t", "r", { resourceId: "ann" });
    await run.emit(started(ids));
    await owner.flush();
    await owner.kill();
    const next = await RunnerProcess.open(options);
    expect(await next.interrupted()).toMatchObject({ resourceId: "ann", attempt: 1 });
    expect(await next.reran()).toBeNull();
    expect(await messagesOf(next, "ann")).toEqual([question("r"), answer("r")]);
    expect(await next.connect("t", "bob").done).toEqual([]);
    await next.close();
  });

  test("of nobody is run again where a resource is required", async () => {
    const dbPath = await killInMidRun();
    const next = await RunnerProcess.open({
      ...{ dbPath, resources: "required", onInterrupted: "answer" },
    });
    expect(await next.interrupted()).toMatchObject({ resourceId: null });
    expect(await next.reran()).toBeNull();
    await next.close();
    expect(runRows(dbPath, "t")).toHaveLength(2);
  });

  test("is not run again if another process had asked it to stop", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath, { onInterrupted: "decline" });
    const other = await RunnerProcess.open({ dbPath });
    await owner.pauseUnlocked(dbPath);
    expect(await other.stop("t", "r")).toBe(true);
    await owner.kill();
    await other.close();
    await expectNoneLeft(dbPath);
    expect(runRows(dbPath, "t")).toHaveLength(1);
  });
});

describe("a handler", () => {
  test.each(["decline", "reject"] as const)(
    "that does not rerun is called once: %s",
    async (how) => {
      const dbPath = await killInMidRun();
      const next = await RunnerProcess.open({ dbPath, onInterrupted: how });
      await next.interrupted();
      if (how === "reject") await next.logged("onInterrupted failed");
      await eventually(() => offersIn(dbPath) === 0);
      await next.close();
      await expectNoneLeft(dbPath);
      expect(runRows(dbPath, "t")).toHaveLength(1);
    },
  );

  test("whose process is killed hands the run to another process, which counts that", async () => {
    const dbPath = await killInMidRun();
    const killed = await RunnerProcess.open({ dbPath, onInterrupted: "die" });
    await killed.died();
    const next = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    expect(await next.interrupted()).toMatchObject({ attempt: 2 });
    expect(await next.reran()).toBeNull();
    await next.close();
    await expectNoneLeft(dbPath);
  });

  test("whose process is killed hands the run to a process that is there", async () => {
    const dbPath = await killInMidRun();
    const killed = await RunnerProcess.open({ dbPath, onInterrupted: "hold" });
    await killed.rerun();
    const other = await RunnerProcess.open({ dbPath, onInterrupted: "answer", leaseMs: HOUR_MS });
    await killed.kill();
    expect(await other.interrupted()).toMatchObject({ attempt: 2 });
    expect(await other.reran()).toBeNull();
    await other.close();
    await expectNoneLeft(dbPath);
  });

  test("gets a run whose reruns crash as often as maxReruns says", async () => {
    const dbPath = await killInMidRun();
    const inputs: unknown[] = [];
    for (let attempt = 1; attempt <= 3; attempt++) {
      const next = await RunnerProcess.open({ dbPath, onInterrupted: "dieInRerun" });
      const run = await next.interrupted();
      expect(run.attempt).toBe(attempt);
      inputs.push(run.input);
      await next.died();
    }
    // The input is that of the first run: nothing of what it and the reruns emitted.
    expect(inputs[0]).toMatchObject({ messages: [question("r")] });
    expect(inputs).toEqual([inputs[0], inputs[0], inputs[0]]);
    const last = await RunnerProcess.open({ dbPath, onInterrupted: "answer" });
    await last.logged(GIVEN_UP);
    expect(last.interruptedRuns).toEqual([]);
    // The thread is free.
    const run = last.run("t", "next");
    await run.emit(started({ threadId: "t", runId: "next" }));
    await run.finish();
    await run.done;
    expect(runIdsIn(await last.connect("t").done)).toEqual(["r", "r", "r", "r", "next"]);
    await last.close();
    await expectNoneLeft(dbPath);
  });

  test("loses no other run to a run that kills its process again and again", async () => {
    const dbPath = tempDatabase();
    const threads = ["poison", ...Array.from({ length: 12 }, (_, at) => `t${at}`)];
    const owner = await RunnerProcess.open({ dbPath, onInterrupted: "decline" });
    for (const threadId of threads) {
      const run = owner.run(threadId, "r");
      await run.emit(started({ threadId, runId: "r" }));
    }
    await owner.flush();
    await owner.kill();
    for (let attempt = 1; attempt <= 3; attempt++) {
      const next = await RunnerProcess.open({ dbPath, onInterrupted: "dieOfPoison" });
      await next.died();
    }
    const last = await RunnerProcess.open({ dbPath, onInterrupted: "dieOfPoison" });
    await last.logged(GIVEN_UP);
    for (const threadId of threads.slice(1)) {
      const replay = await eventually(async () => {
        const events = await last.connect(threadId).done;
        return events.at(-1)?.type === "RUN_FINISHED" && events;
      });
      expect(spokenIn(replay)).toContain("answer to r");
    }
    await last.close();
    expect(runRows(dbPath, "poison")).toHaveLength(4);
    await expectNoneLeft(dbPath);
  });
});

describe("a user who goes on with the thread", () => {
  test("before anybody runs the run again makes a rerun void", async () => {
    const dbPath = await killInMidRun();
    const script = openRunner({ dbPath });
    await runToEnd(script, "t", "next", answeringAgent());
    await script.close();
    await expectNoneLeft(dbPath);
    expect(runRows(dbPath, "t").map(({ run_id: id }) => id)).toEqual(["r", "next"]);
  });

  test("while another process waits for the thread takes it, and there is no rerun", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath, { onInterrupted: "decline" });
    const other = await RunnerProcess.open({
      ...{ dbPath, onInterrupted: "answer", onConcurrentRun: "enqueue", leaseMs: HOUR_MS },
    });
    const next = other.run("t", "next");
    await eventually(() => other.isRunning("t"));
    await owner.kill();
    await next.started();
    await next.finish();
    await next.done;
    await other.close();
    // Whichever came first: the run of the user was executed, and one run at a time.
    const rows = runRows(dbPath, "t").map(({ run_id: id }) => id.replace(/#.*/, ""));
    expect([["r"], ["r", "r"]]).toContainEqual(rows);
    await expectNoneLeft(dbPath);
  });

  test('waits for a rerun with "enqueue", in this process and in others', async () => {
    const dbPath = await killInMidRun();
    const options = { dbPath, onInterrupted: "hold", onConcurrentRun: "enqueue" } as const;
    const next = await RunnerProcess.open(options);
    const rerun = await next.rerun();
    const other = await RunnerProcess.open(options);
    const [here, there] = [next.run("t", "here"), other.run("t", "there")];
    await rerun.emit(started(ids), finished(ids));
    await rerun.finish();
    expect(await next.reran()).toBeNull();
    // Whichever is first: the other one begins when that one has ended.
    const toEnd = async (run: DistantRun, runId: string) => {
      await run.emit(started({ threadId: "t", runId }));
      await run.finish();
      await run.done;
    };
    await Promise.all([toEnd(here, "here"), toEnd(there, "there")]);
    expect(runIdsIn(await next.connect("t").done).slice(0, 2)).toEqual(["r", "r"]);
    await next.close();
    await other.close();
    await expectNoneLeft(dbPath);
  });

  test('ends a rerun with "supersede", and it is not run again', async () => {
    const dbPath = await killInMidRun();
    const next = await RunnerProcess.open({ dbPath, onInterrupted: "hold" });
    const rerun = await next.rerun();
    await rerun.emit(started(ids));
    const other = await RunnerProcess.open({ dbPath, onConcurrentRun: "supersede" });
    const run = other.run("t", "next");
    await run.emit(started({ threadId: "t", runId: "next" }));
    await run.finish();
    await run.done;
    expect(await next.reran()).toBeNull();
    expect(runIdsIn(await other.connect("t").done)).toEqual(["r", "next"]);
    await next.close();
    await other.close();
    await expectNoneLeft(dbPath);
  });
});
