import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const request = (runId: string) => ({ threadId: "t", input: inputOf("t", runId) });

describe("two runners on two files", () => {
  test.each([
    ["files", () => [tempDatabase(), tempDatabase()]],
    ["databases in memory", () => [":memory:", ":memory:"]],
  ])("in one process share nothing: %s", async (_, paths) => {
    const [a = "", b = ""] = paths();
    const one = openRunner({ dbPath: a });
    const other = openRunner({ dbPath: b });
    const agent = puppetAgent();
    const watched = watch(one.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    expect(await other.isRunning({ threadId: "t" })).toBe(false);
    expect(await other.stop({ threadId: "t" })).toBe(false);
    expect(agent.aborts()).toBe(0);
    expect(await replayOf(other, "t")).toEqual([]);
    // The same thread, the same run id, at the same time.
    const events = await runToEnd(other, "t", "r", answeringAgent());
    expect(events[0]?.input).toEqual(inputOf("t", "r"));
    expect(await one.isRunning({ threadId: "t" })).toBe(true);
    agent.emit(...text("m", "of one"), finished(ids));
    agent.finish();
    expect(spokenIn(await watched.done)).toBe("of one");
    expect(spokenIn(await replayOf(one, "t"))).toBe("of one");
    expect(spokenIn(await replayOf(other, "t"))).toBe("answer to r");
    await other.close();
    expect(spokenIn(await replayOf(one, "t"))).toBe("of one");
  });
});

describe("two runners on one file", () => {
  test.each(["throw", "reject"] as const)(
    'a thread that the other runs is refused with RUN_ERROR, also for "%s"',
    async (onConcurrentRun) => {
      const dbPath = tempDatabase();
      const one = openRunner({ dbPath });
      const other = openRunner({ dbPath, onConcurrentRun });
      const agent = puppetAgent();
      const watched = watch(one.run({ ...request("r"), agent }));
      await agent.started;
      agent.emit(started(ids));
      const refusedAgent = puppetAgent();
      const refused = await watch(other.run({ ...request("r2"), agent: refusedAgent })).done;
      expect(refused).toEqual([
        { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING", message: "Thread already running" },
      ]);
      await verifyWithClients(refused);
      expect(refusedAgent.isStarted()).toBe(false);
      agent.emit(finished(ids));
      agent.finish();
      await watched.done;
      expect((await runToEnd(other, "t", "r2", answeringAgent())).at(-1)?.type).toBe(
        "RUN_FINISHED",
      );
      expect(runIdsIn(await replayOf(one, "t"))).toEqual(["r", "r2"]);
    },
  );

  test("each sees the runs that the other has stored", async () => {
    const dbPath = tempDatabase();
    const one = openRunner({ dbPath });
    const other = openRunner({ dbPath });
    for (let index = 0; index < 6; index++) {
      await runToEnd(index % 2 === 0 ? one : other, "t", `r${index}`, answeringAgent());
    }
    const expected = ["r0", "r1", "r2", "r3", "r4", "r5"];
    expect(runIdsIn(await replayOf(one, "t"))).toEqual(expected);
    expect(runIdsIn(await replayOf(other, "t"))).toEqual(expected);
  });

  test("closing one does not affect the runs of the other", async () => {
    const dbPath = tempDatabase();
    const one = openRunner({ dbPath });
    const other = openRunner({ dbPath });
    await runToEnd(other, "t2", "r2", answeringAgent());
    const agent = puppetAgent();
    const watched = watch(one.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    await other.close();
    expect(agent.aborts()).toBe(0);
    agent.emit(finished(ids));
    agent.finish();
    expect((await watched.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(one, "t"))).toEqual(["r"]);
  });

  test("opening one does not end the runs of the other as interrupted", async () => {
    const dbPath = tempDatabase();
    const one = openRunner({ dbPath });
    const agent = puppetAgent();
    const watched = watch(one.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    await one.flush();
    const other = openRunner({ dbPath });
    await runToEnd(other, "t2", "r2", answeringAgent());
    agent.emit(...text("m", "not interrupted"), finished(ids));
    agent.finish();
    expect((await watched.done).at(-1)?.type).toBe("RUN_FINISHED");
    expect(spokenIn(await replayOf(other, "t"))).toBe("not interrupted");
  });
});
