import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { OnConcurrentRun } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { runRows, valueIn, withDatabase } from "../support/database-file.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { type PuppetAgent, puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";

const ids = { threadId: "t", runId: "r" };

function request(agent: PuppetAgent) {
  return { threadId: "t", agent, input: inputOf("t", "r", []) };
}

/** Emits `word`, and waits. */
function begin(agent: PuppetAgent, word: string): void {
  agent.emit(started(ids), ...text(`m-${word}`, word));
}

function end(agent: PuppetAgent): void {
  agent.emit(finished(ids));
  agent.finish();
}

/** A runner whose thread "t" has the run "r", which has emitted "first" and waits. */
async function busy(onConcurrentRun: OnConcurrentRun) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, onConcurrentRun });
  const agent = puppetAgent();
  const first = watch(runner.run(request(agent)));
  await agent.started;
  begin(agent, "first");
  return { dbPath, runner, agent, first };
}

describe("a run id that is used again", () => {
  test("on its thread, once the earlier run is over: both are stored and replayed", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const word of ["one ", "two ", "three "]) {
      const agent = puppetAgent();
      const run = watch(runner.run(request(agent)));
      await agent.started;
      begin(agent, word);
      end(agent);
      expect((await run.done).at(-1)).toEqual(finished(ids));
    }
    for (const again of [runner, openRunner({ dbPath })]) {
      const replay = await replayOf(again, "t");
      expect(runIdsIn(replay)).toEqual(["r", "r", "r"]);
      expect(spokenIn(replay)).toBe("one two three ");
      await verifyWithClients(replay);
    }
  });

  test("while the first run is being committed", async () => {
    const { runner, agent, first } = await busy("throw");
    end(agent);
    // The agent's promise settles in a microtask, but a commit needs a message to another thread.
    await Promise.resolve();
    await Promise.resolve();
    const second = puppetAgent();
    const run = watch(runner.run(request(second)));
    await second.started;
    begin(second, "second");
    // One of the two, or both, come from memory.
    const meanwhile = watch(runner.connect({ threadId: "t" }));
    end(second);
    await Promise.all([first.done, run.done]);
    const replay = await replayOf(runner, "t");
    expect(spokenIn(replay)).toBe("firstsecond");
    expect(typesOf(await meanwhile.done)).toEqual(typesOf(replay));
    await verifyWithClients(meanwhile.events);
  });

  test("on many threads at the same time", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const threads = Array.from({ length: 50 }, (_, at) => `t${at}`);
    const runs = await Promise.all(
      threads.map((threadId) => runToEnd(runner, threadId, "r", answeringAgent())),
    );
    for (const [at, threadId] of threads.entries()) {
      expect(runs[at]?.at(-1)).toEqual(finished({ threadId, runId: "r" }));
      expect(spokenIn(await replayOf(runner, threadId))).toBe("answer to r");
    }
  });

  test("is stored in client_run_id, beside an alias in the unique column", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["t", "t", "other"]) {
      await runToEnd(runner, threadId, "r", answeringAgent());
    }
    const rows = [...runRows(dbPath, "t"), ...runRows(dbPath, "other")];
    expect(new Set(rows.map((row) => row.run_id)).size).toBe(3);
    const clientIds = "SELECT group_concat(coalesce(client_run_id, run_id)) FROM agent_runs";
    expect(valueIn(dbPath, clientIds)).toBe("r,r,r");
  });

  test("is shown with a live run of that id after a stored run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    const agent = puppetAgent();
    const run = watch(runner.run(request(agent)));
    await agent.started;
    begin(agent, "live");
    const connected = watch(runner.connect({ threadId: "t" }));
    await connected.until(({ delta }) => delta === "live");
    end(agent);
    await run.done;
    expect(spokenIn(await connected.done)).toBe("answer to rlive");
    await verifyWithClients(connected.events);
  });
});

describe("a POST that is sent twice, while the first run executes", () => {
  test('with "throw": throws, and leaves the first alone', async () => {
    const { runner, agent, first } = await busy("throw");
    expect(() => runner.run(request(puppetAgent()))).toThrow("Thread already running");
    end(agent);
    expect((await first.done).at(-1)).toEqual(finished(ids));
    expect(spokenIn(await replayOf(runner, "t"))).toBe("first");
  });

  test('with "reject": is refused, and leaves the first alone', async () => {
    const { runner, agent, first } = await busy("reject");
    const second = puppetAgent();
    const [refusal] = await collect(runner.run(request(second)));
    expect(refusal).toMatchObject({ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" });
    expect(second.isStarted()).toBe(false);
    end(agent);
    expect((await first.done).at(-1)).toEqual(finished(ids));
    expect(spokenIn(await replayOf(runner, "t"))).toBe("first");
  });

  test('with "supersede": the first is aborted and discarded, the second is stored', async () => {
    const { dbPath, runner, agent, first } = await busy("supersede");
    await runner.flush();
    const second = puppetAgent();
    const run = watch(runner.run(request(second)));
    expect(agent.aborts()).toBe(1);
    await second.started;
    await first.done;
    begin(second, "second");
    // Another process cannot run on the thread meanwhile, and sees the second run.
    const other = openRunner({ dbPath, onConcurrentRun: "reject" });
    const [refusal] = await runToEnd(other, "t", "elsewhere", answeringAgent());
    expect(refusal).toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
    await runner.flush();
    const follower = watch(other.connect({ threadId: "t" }));
    await follower.until(({ delta }) => delta === "second");
    end(second);
    expect((await run.done).at(-1)).toEqual(finished(ids));
    expect(spokenIn(await follower.done)).toBe("second");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("second");
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  });

  test('with "supersede", many times: the last one is stored, alone', async () => {
    const { runner } = await busy("supersede");
    const agents = Array.from({ length: 20 }, () => puppetAgent());
    const runs = agents.map((agent) => watch(runner.run(request(agent))));
    const last = agents.at(-1) as PuppetAgent;
    await last.started;
    begin(last, "last");
    end(last);
    await Promise.all(runs.map(({ done }) => done));
    expect(agents.filter((agent) => agent.isStarted())).toEqual([last]);
    expect(spokenIn(await replayOf(runner, "t"))).toBe("last");
  });

  test('with "enqueue": both are stored, one after the other', async () => {
    const { runner, agent, first } = await busy("enqueue");
    const second = puppetAgent();
    const run = watch(runner.run(request(second)));
    const connected = watch(runner.connect({ threadId: "t" }));
    end(agent);
    await second.started;
    await first.done;
    begin(second, "second");
    end(second);
    expect((await run.done).at(-1)).toEqual(finished(ids));
    expect(spokenIn(await replayOf(runner, "t"))).toBe("firstsecond");
    await verifyWithClients(await connected.done);
  });
});

describe("stop with a run id", () => {
  test("stops the executing run, not a waiting run of that id", async () => {
    const { runner, agent, first } = await busy("enqueue");
    const second = puppetAgent();
    const run = watch(runner.run(request(second)));
    expect(await runner.stop(ids)).toBe(true);
    expect(agent.aborts()).toBe(1);
    await first.done;
    await second.started;
    begin(second, "second");
    end(second);
    expect((await run.done).at(-1)).toEqual(finished(ids));
    expect(second.aborts()).toBe(0);
    expect(spokenIn(await replayOf(runner, "t"))).toBe("firstsecond");
  });

  test("stops the executing run, although an earlier run of that id is over", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    expect(await runner.stop(ids)).toBe(false);
    const agent = puppetAgent();
    const run = watch(runner.run(request(agent)));
    await agent.started;
    expect(await runner.stop(ids)).toBe(true);
    await run.done;
    expect(agent.aborts()).toBe(1);
  });
});

test("a run whose id another program took meanwhile is stored all the same", async () => {
  const rejections = uncaught();
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const agent = heldAgent();
  const run = watch(runner.run({ threadId: "thread", agent, input: inputOf("thread", "run") }));
  await agent.halfway;
  withDatabase(dbPath, (db) =>
    db.exec(
      `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
       VALUES ('elsewhere', 'run', '[]', '{}', 1, 1)`,
    ),
  );
  agent.release();
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  await runToEnd(runner, "thread", "next", answeringAgent());
  expect(spokenIn(await replayOf(runner, "thread"))).toBe("first half, second halfanswer to next");
  expect(runRows(dbPath, "elsewhere")).toMatchObject([{ run_id: "run", events: "[]" }]);
  await runner.close();
  expect(rejections).toEqual([]);
});
