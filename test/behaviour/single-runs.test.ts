import { describe, expect, test } from "vitest";
import { EVERY_RESOURCE, type EventLike, type RunRef, withResource } from "../../src/index.ts";
import { openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { processInMidRun } from "../support/runner-process.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

async function typesOf(events: AsyncIterable<EventLike>): Promise<string[]> {
  const types: string[] = [];
  for await (const { type } of events) types.push(type);
  return types;
}

const ANSWER = [
  "RUN_STARTED",
  "TEXT_MESSAGE_START",
  "TEXT_MESSAGE_CONTENT",
  "TEXT_MESSAGE_END",
  "RUN_FINISHED",
];

describe("one run of a thread", () => {
  test("is read by its epoch, with the messages and the state after it", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    for (const runId of ["r1", "r2", "r3"]) await runToEnd(runner, "t", runId, answeringAgent());
    const { runs } = await runner.threads.runs("t");
    const [first, second] = runs as unknown as [RunRef, RunRef];
    expect(await runner.threads.run("t", second)).toMatchObject({
      ...{ runId: "r2", outcome: "finished", tokens: null },
      ...{ previous: { runId: "r1" }, next: { runId: "r3" } },
    });
    expect(await typesOf(runner.threads.runEvents("t", second))).toEqual(ANSWER);
    const all = await runner.threads.messages("t");
    const early = await runner.threads.messages("t", { after: first });
    expect(early.length).toBeGreaterThan(0);
    expect(early).toEqual(all.slice(0, early.length));
    expect(await runner.threads.state("t", { after: first })).toEqual({});
  });

  test("that is unknown, or of another's thread, has no events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await withResource("ann", () => runToEnd(runner, "t", "r", answeringAgent()));
    const run = { epoch: 1 };
    expect(await runner.threads.run("t", run)).toBeNull();
    expect(await typesOf(runner.threads.runEvents("t", run))).toEqual([]);
    await expect(runner.threads.messages("t", { after: run })).rejects.toMatchObject({
      code: "RUN_NOT_FOUND",
    });
    await withResource(EVERY_RESOURCE, async () => {
      expect(await runner.threads.run("t", run)).toMatchObject({ runId: "r" });
      await expect(runner.threads.state("t", { after: { epoch: 2 } })).rejects.toMatchObject({
        code: "RUN_NOT_FOUND",
      });
    });
  });

  test("is named by an epoch: anything else is a TypeError", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const wrong = [undefined, null, {}, { epoch: "1" }, { epoch: -1 }, { epoch: 1, runId: 1 }];
    for (const run of wrong as unknown as RunRef[]) {
      await expect(runner.threads.run("t", run)).rejects.toThrow(TypeError);
      await expect(typesOf(runner.threads.runEvents("t", run))).rejects.toThrow(TypeError);
    }
    await expect(runner.threads.holders({ limit: 501 })).rejects.toThrow(TypeError);
    await expect(runner.threads.holders({ threadId: "" })).rejects.toThrow(TypeError);
  });
});

describe("a run that executes", () => {
  test("in this process is told as it grows, until it ends", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    const { held, instances } = await runner.threads.holders();
    expect(held).toMatchObject([{ threadId: "t", runId: "r", instanceId: instances[0]?.id }]);
    const ref = { epoch: held[0]?.epoch ?? 0 };
    expect(await runner.threads.run("t", ref)).toBeNull();
    const types: string[] = [];
    for await (const { type } of runner.threads.runEvents("t", ref)) {
      types.push(type);
      if (type === "TEXT_MESSAGE_CONTENT") agent.release();
    }
    expect(types).toEqual([...ANSWER.slice(0, 3), ...ANSWER.slice(2)]);
    await run.done;
    // Stored, the deltas are merged.
    expect(await typesOf(runner.threads.runEvents("t", ref))).toEqual(ANSWER);
  });

  test("is left with the signal", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    const [held] = (await runner.threads.holders({ threadId: "t" })).held;
    const left = new AbortController();
    const { signal } = left;
    const types: string[] = [];
    for await (const { type } of runner.threads.runEvents("t", held as RunRef, { signal })) {
      types.push(type);
      if (type === "TEXT_MESSAGE_CONTENT") setImmediate(() => left.abort());
    }
    expect(types).toEqual(ANSWER.slice(0, 3));
    agent.release();
    await run.done;
  });

  test("in another process is told as it grows, until it ends", async () => {
    const dbPath = tempDatabase();
    const { owner, finish } = await processInMidRun(dbPath);
    const runner = openRunner({ dbPath });
    const [held] = (await runner.threads.holders({ threadId: "t" })).held;
    const types: string[] = [];
    for await (const { type } of runner.threads.runEvents("t", held as RunRef)) {
      types.push(type);
      if (type === "TEXT_MESSAGE_CONTENT") void finish();
    }
    expect(types).toEqual(ANSWER);
    expect(await typesOf(runner.threads.runEvents("t", held as RunRef))).toEqual(ANSWER);
    await owner.close();
  });
});
