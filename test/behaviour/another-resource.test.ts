import "../support/leak-guard.ts";
import { expect, it } from "vitest";
import { withResource } from "../../src/index.ts";
import { collect, openRunner } from "../support/open-runner.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

it.each(["throw", "reject", "supersede", "enqueue"] as const)(
  "with %s, a run on the thread of another resource is refused at once, and does not execute",
  async (onConcurrentRun) => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
    const run = (resourceId: string, runId: string, agent = answeringAgent()) =>
      withResource(resourceId, () =>
        collect(runner.run({ threadId: "thread", agent, input: inputOf("thread", runId) })),
      );
    await run("ada", "first");
    const agent = answeringAgent();
    expect(await run("grace", "second", agent)).toMatchObject([
      { type: "RUN_ERROR", code: "THREAD_NOT_FOUND" },
    ]);
    expect(agent.inputs).toEqual([]);
    expect((await run("ada", "third")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  },
);
