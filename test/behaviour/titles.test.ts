import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { type UntitledThread, withResource } from "../../src/index.ts";
import { collectingLogger, openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent, heldAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("titleFor makes a title once, after the first run, with the resource and the messages", async () => {
  const dbPath = tempDatabase();
  const asked: UntitledThread[] = [];
  const titleFor = async (thread: UntitledThread) => {
    asked.push(thread);
    return `Title of ${thread.threadId}`;
  };
  const runner = openRunner({ dbPath, titleFor });
  const agent = Object.assign(answeringAgent(), { agentId: "helper" });
  await withResource("ann", () => runToEnd(runner, "t", "r1", agent));
  const get = () => withResource("ann", () => runner.threads.get("t"));
  await eventually(async () => (await get())?.isTitled);
  expect((await get())?.title).toBe("Title of t");
  await withResource("ann", () => runToEnd(runner, "t", "r2", agent));
  const other = openRunner({ dbPath, titleFor });
  await withResource("ann", () => runToEnd(other, "t", "r3", agent));
  await runToEnd(other, "other", "r4", agent);
  await eventually(async () => (await other.threads.get("other"))?.isTitled);
  expect(asked.map(({ threadId, agentId, resourceId }) => [threadId, agentId, resourceId])).toEqual(
    [
      ["t", "helper", "ann"],
      ["other", "helper", null],
    ],
  );
  expect(asked[0]?.messages).toMatchObject([
    { role: "user", content: "text of question-r1" },
    { role: "assistant", content: "answer to r1" },
  ]);
});

test("a title that a user sets meanwhile stays", async () => {
  const called = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<string>();
  const runner = openRunner({
    dbPath: tempDatabase(),
    titleFor: () => {
      called.resolve();
      return gate.promise;
    },
  });
  await runToEnd(runner, "t", "r", answeringAgent());
  await called.promise;
  await runner.threads.rename("t", "The user's");
  gate.resolve("The model's");
  await runner.flush();
  await runToEnd(runner, "t", "r2", answeringAgent());
  expect((await runner.threads.get("t"))?.title).toBe("The user's");
});

test("it is not called for a thread that was named during its first run", async () => {
  const asked: string[] = [];
  const runner = openRunner({
    dbPath: tempDatabase(),
    titleFor: ({ threadId }) => {
      asked.push(threadId);
      return null;
    },
  });
  const agent = heldAgent();
  const done = runToEnd(runner, "named", "r", agent);
  await agent.halfway;
  await runner.threads.rename("named", "Named");
  agent.release();
  await done;
  await runToEnd(runner, "later", "r", answeringAgent());
  await eventually(() => asked.includes("later"));
  expect(asked).toEqual(["later"]);
  expect((await runner.threads.get("later"))?.title).toBe("text of question-r");
});

test.each([
  ["throws", () => Promise.reject(new Error("no model"))],
  ["returns no text", () => 5 as never],
  ["returns a blank", () => "  "],
])("one that %s is logged, and hurts no run", async (_, titleFor) => {
  const logger = collectingLogger();
  const runner = openRunner({ dbPath: tempDatabase(), logger, titleFor });
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  const line = await eventually(() => logger.lines.find(({ level }) => level === "error"));
  expect(line.message).toBe("a thread got no title");
  expect(await runner.threads.get("t")).toMatchObject({
    title: "text of question-r",
    isTitled: false,
  });
});
