import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { OnConcurrentRun } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { runRows, valueIn } from "../support/database-file.ts";
import { says } from "../support/message-events.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { type DistantRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

/** Emits `word` and waits. */
async function begin(run: DistantRun, word: string, threadId = "t"): Promise<void> {
  await run.emit(started({ threadId, runId: "r" }), ...text(`m-${word}`, word));
}

async function end(run: DistantRun, threadId = "t"): Promise<void> {
  await run.emit(finished({ threadId, runId: "r" }));
  await run.finish();
}

/** A run here with the same id, whose agent the test controls. */
function runHere(here: ReturnType<typeof openRunner>, threadId = "t") {
  const agent = puppetAgent();
  const input = inputOf(threadId, "r", []);
  return { agent, run: watch(here.run({ threadId, agent, input })) };
}

describe("one run id in two processes", () => {
  test("on different threads at the same time: each run is stored on its own thread", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const here = openRunner({ dbPath, lingerMs: 0 });
    const threads = ["a", "b", "c"];
    const theirs = threads.map((threadId) => owner.run(`${threadId} there`, "r"));
    for (const [at, run] of theirs.entries()) {
      await begin(run, `${threads[at]}-there`, `${threads[at]} there`);
    }
    await owner.flush();
    const followers = threads.map((id) => watch(here.connect({ threadId: `${id} there` })));
    const own = threads.map((id) => runToEnd(here, `${id} here`, "r", answeringAgent()));
    for (const [at, follower] of followers.entries()) {
      await follower.until(({ delta }) => delta === `${threads[at]}-there`);
    }
    await Promise.all(own);
    for (const [at, run] of theirs.entries()) await end(run, `${threads[at]} there`);
    for (const [at, follower] of followers.entries()) {
      expect(await follower.done).toEqual(asReplayed((await theirs[at]?.done) ?? []));
      expect(spokenIn(await replayOf(here, `${threads[at]} here`))).toBe("answer to r");
      expect(spokenIn(await replayOf(here, `${threads[at]} there`))).toBe(`${threads[at]}-there`);
    }
    await owner.close();
  });

  /** A thread whose run "r" another process executes, and a runner here. */
  async function heldElsewhere(onConcurrentRun: OnConcurrentRun) {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const theirs = owner.run("t", "r");
    await begin(theirs, "theirs");
    await owner.flush();
    const here = openRunner({ dbPath, lingerMs: 0, onConcurrentRun, closeTimeoutMs: 0 });
    return { dbPath, owner, theirs, here };
  }

  test.each(["throw", "reject"] as const)(
    'a POST sent to both, with "%s": the second is refused, and the first goes on',
    async (option) => {
      const { theirs, here } = await heldElsewhere(option);
      const { agent, run } = runHere(here);
      const refused = { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" };
      expect(await run.done).toMatchObject([refused]);
      expect(agent.isStarted()).toBe(false);
      await end(theirs);
      expect((await theirs.done).at(-1)).toEqual(finished(ids));
      expect(spokenIn(await replayOf(here, "t"))).toBe("theirs");
    },
  );

  test('a POST sent to both, with "supersede": the first is discarded, the second stored', async () => {
    const { dbPath, owner, theirs, here } = await heldElsewhere("supersede");
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("theirs"));
    const { agent, run } = runHere(here);
    await agent.started;
    expect((await theirs.done).at(-1)).toEqual(finished(ids));
    expect(await theirs.aborts()).toBe(1);
    // A run of this id that executes here does not let the other process take the thread.
    const third = owner.run("t", "r");
    expect(await third.done).toMatchObject([{ code: "THREAD_ALREADY_RUNNING" }]);
    agent.emit(started(ids), ...text("m-ours", "ours"), finished(ids));
    agent.finish();
    expect((await run.done).at(-1)).toEqual(finished(ids));
    // The followers of the first run saw its end, and no events of the second run.
    expect(spokenIn(await follower.done)).toBe("theirs");
    expect(spokenIn(await replayOf(here, "t"))).toBe("ours");
    expect(runRows(dbPath, "t")).toHaveLength(1);
    expect(valueIn(dbPath, "SELECT sum(is_running) FROM run_state")).toBe(0);
  });

  test('a POST sent to both, with "enqueue": both are stored, one after the other', async () => {
    const { theirs, here } = await heldElsewhere("enqueue");
    const { agent, run } = runHere(here);
    const connected = watch(here.connect({ threadId: "t" }));
    await connected.until(says("theirs"));
    expect(agent.isStarted()).toBe(false);
    await end(theirs);
    await agent.started;
    agent.emit(started(ids), ...text("m-ours", "ours"), finished(ids));
    agent.finish();
    expect((await run.done).at(-1)).toEqual(finished(ids));
    expect(spokenIn(await connected.done)).toBe("theirsours");
    await verifyWithClients(connected.events);
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["r", "r"]);
  });

  test("stop with the id stops the run that executes there, not the run that waits here", async () => {
    const { theirs, here } = await heldElsewhere("enqueue");
    const { agent, run } = runHere(here);
    await here.flush();
    expect(await here.stop(ids)).toBe(true);
    await theirs.done;
    expect(await theirs.aborts()).toBe(1);
    await agent.started;
    expect(agent.aborts()).toBe(0);
    agent.emit(started(ids), ...text("m-ours", "ours"), finished(ids));
    agent.finish();
    await run.done;
    expect(spokenIn(await replayOf(here, "t"))).toBe("theirsours");
  });
});

describe("followers of a thread whose run id is used again at once", () => {
  test("each get one of the runs whole, and the history before it", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const here = openRunner({ dbPath });
    const words = ["0 ", "1 ", "2 ", "3 ", "4 ", "5 "];
    let followers: { readonly run: number; readonly connected: ReturnType<typeof watch> }[] = [];
    let last: DistantRun | null = null;
    for (const [at, word] of words.entries()) {
      const run = owner.run("t", "r");
      await begin(run, word);
      await owner.flush();
      const connected = watch(here.connect({ threadId: "t" }));
      await connected.until(says(word));
      followers = [...followers, { run: at, connected }];
      // The next run begins while this run is being committed: some followers look after its end.
      followers.push({ run: at, connected: watch(here.connect({ threadId: "t" })) });
      await end(run);
      last = run;
    }
    await last?.done;
    for (const { run, connected } of followers) {
      const events = await connected.done;
      const spoken = spokenIn(events);
      // A client that connected as the run ended may have found it stored, and the next run live.
      expect(words.map((_, at) => words.slice(0, at + 1).join("")).slice(run, run + 2)).toContain(
        spoken,
      );
      await verifyWithClients(events);
    }
    expect(spokenIn(await replayOf(here, "t"))).toBe(words.join(""));
    await owner.close();
  });

  test("get the first run, which was discarded, from its retained journal", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0, onConcurrentRun: "supersede" });
    const here = openRunner({ dbPath });
    await here.ready();
    const first = owner.run("t", "r");
    await begin(first, "first");
    await owner.flush();
    const ofFirst = watch(here.connect({ threadId: "t" }));
    await ofFirst.until(says("first"));
    const second = owner.run("t", "r");
    await begin(second, "second");
    await owner.flush();
    expect(valueIn(dbPath, "SELECT count(*) FROM retained_journals")).toBe(1);
    const ofSecond = watch(here.connect({ threadId: "t" }));
    await ofSecond.until(says("second"));
    await end(second);
    expect(await ofFirst.done).toEqual(asReplayed(await first.done));
    expect(await ofSecond.done).toEqual(asReplayed(await second.done));
    await owner.close();
  });
});

describe("runs of one id whose process is killed", () => {
  test("are each ended on their own thread, and the id can be used again on all threads", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const threads = ["a", "b", "c"];
    await runToEnd(openRunner({ dbPath }), "b", "r", answeringAgent());
    const runs = threads.map((threadId) => owner.run(threadId, "r"));
    for (const [at, run] of runs.entries()) {
      const threadId = threads[at] ?? "";
      await begin(run, `on-${threadId}`, threadId);
    }
    await owner.flush();
    const here = openRunner({ dbPath });
    const followers = threads.map((threadId) => watch(here.connect({ threadId })));
    for (const [at, follower] of followers.entries()) {
      await follower.until(says(`on-${threads[at]}`));
    }
    await owner.kill();
    for (const [at, threadId] of threads.entries()) {
      const before = threadId === "b" ? "answer to r" : "";
      const said = `${before}on-${threadId}`;
      const followed = await followers[at]?.done;
      expect(spokenIn(followed ?? [])).toBe(said);
      expect(followed?.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
      await eventually(async () => !(await here.isRunning({ threadId })));
      const replay = await replayOf(here, threadId);
      expect(spokenIn(replay)).toBe(said);
      expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
      await runToEnd(here, threadId, "r", answeringAgent());
      const again = await replayOf(here, threadId);
      expect(spokenIn(again)).toBe(`${said}answer to r`);
      await verifyWithClients(again);
    }
  });
});
