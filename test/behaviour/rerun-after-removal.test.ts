import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { fileOfCrash } from "../support/crashed-run.ts";
import { codeOf, offeredIn, openHandling } from "../support/handled-runs.ts";
import { replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

describe("rerun", () => {
  test("works after older runs of the thread were purged", async () => {
    const dbPath = await fileOfCrash({ hasEarlier: true });
    const { runner, run, rerun, release } = await openHandling(dbPath);
    expect(run.input.messages.map(({ id }) => id)).toEqual([
      ...["question-earlier", "answer-earlier", "question-r"],
    ]);
    expect(await runner.purge({ maxRunsPerThread: 1 })).toMatchObject({ runs: 1 });
    await rerun(answeringAgent());
    release();
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "r"]);
    await runner.close();
    expect(await offeredIn(dbPath)).toEqual([]);
  });

  test("is refused when the thread was deleted, also if it was made again", async () => {
    const dbPath = await fileOfCrash();
    const { runner, rerun, release } = await openHandling(dbPath);
    await runner.threads.delete("t");
    const agent = answeringAgent();
    expect(await codeOf(rerun(agent))).toBe("THREAD_ALREADY_RUNNING");
    await withResource("bob", () => runToEnd(runner, "t", "r", answeringAgent()));
    expect(await codeOf(rerun(agent))).toBe("THREAD_NOT_FOUND");
    expect(runIdsIn(await withResource("bob", () => replayOf(runner, "t")))).toEqual(["r"]);
    release();
    expect(agent.inputs).toEqual([]);
    expect(await replayOf(runner, "t")).toEqual([]);
  });
});
