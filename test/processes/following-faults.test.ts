import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { valueIn } from "../support/database-file.ts";
import { closing, delta, opening, says } from "../support/message-events.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { threadsStarted } from "../support/threads-started.ts";

const ids = { threadId: "t", runId: "r" };

async function runElsewhere(options: { readonly lingerMs?: number } = {}) {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath, closeTimeoutMs: 0, ...options });
  const run = owner.run("t", "r");
  await run.emit(started(ids), opening("m"), delta("m", "one "));
  const finish = async () => {
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    return run.done;
  };
  return { dbPath, owner, run, finish };
}

describe("a client that follows a run of another process", () => {
  test("sees its end when that process is killed", async () => {
    const { dbPath, owner, run } = await runElsewhere();
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("one "));
    await run.emit(delta("m", "two "));
    await follower.until(says("two "));
    await owner.kill();
    const events = await follower.done;
    expect(spokenIn(events)).toBe("one two ");
    expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
    await verifyWithClients(events);
    // The stored run is the same.
    expect(spokenIn(await replayOf(here, "t"))).toBe("one two ");
  });

  test("sees no events of a run that was killed before it was journaled, and does not wait without end", async () => {
    const { dbPath, owner } = await runElsewhere({ lingerMs: 60_000 });
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    await owner.kill();
    expect(await follower.done).toEqual([]);
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
  });

  test("sees its end when that process closes its runner", async () => {
    const { dbPath, owner, run } = await runElsewhere();
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("one "));
    await owner.close();
    const events = await follower.done;
    expect(events).toEqual(asReplayed(await run.done));
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  });

  test("gets an error when its own runner is closed, and the run goes on", async () => {
    const { dbPath, run, finish } = await runElsewhere();
    const here = openRunner({ dbPath });
    const followers = [1, 2].map(() => watch(here.connect({ threadId: "t" })));
    for (const follower of followers) await follower.until(says("one "));
    await here.close();
    for (const follower of followers) {
      const events = await follower.done;
      expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUNNER_CLOSED" });
      await verifyWithClients(events);
    }
    expect((await finish()).at(-1)?.type).toBe("RUN_FINISHED");
    expect(await run.aborts()).toBe(0);
  });

  test("goes on when threads of its own process die", async () => {
    const { dbPath, run, finish } = await runElsewhere();
    const threads = threadsStarted();
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("one "));
    for (let round = 0; round < 3; round++) {
      // The threads of earlier rounds have ended.
      await terminate(threads);
      const word = `after death ${round} `;
      await run.emit(delta("m", word));
      await follower.until(says(word));
    }
    expect(threads.length).toBeGreaterThan(2);
    const emitted = await finish();
    expect(await follower.done).toEqual(asReplayed(emitted));
  });

  test("goes on when threads of the owner die", async () => {
    const dbPath = tempDatabase();
    const threads = threadsStarted();
    const here = openRunner({ dbPath });
    await here.ready();
    const agent = puppetAgent();
    const run = watch(here.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), opening("m"), delta("m", "one "));
    const other = await RunnerProcess.open({ dbPath });
    const follower = other.connect("t");
    await follower.until(says("one "));
    await terminate(threads);
    agent.emit(delta("m", "two "));
    await follower.until(says("two "));
    agent.emit(closing("m"), finished(ids));
    agent.finish();
    expect(await follower.done).toEqual(asReplayed(await run.done));
  });

  test("may leave and connect again", async () => {
    const { dbPath, run, finish } = await runElsewhere();
    const here = openRunner({ dbPath });
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      const subscription = here.connect({ threadId: "t" }).subscribe(({ type }) => {
        seen.push(type);
        if (type !== "TEXT_MESSAGE_CONTENT") return;
        subscription.unsubscribe();
        resolve();
      });
    });
    await run.emit(delta("m", "two "));
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("two "));
    const emitted = await finish();
    expect(await follower.done).toEqual(asReplayed(emitted));
    expect(seen).toEqual(["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]);
    expect(valueIn(dbPath, "SELECT count(*) FROM agent_runs")).toBe(1);
  });
});
