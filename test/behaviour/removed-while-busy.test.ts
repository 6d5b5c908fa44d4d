import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { collectingLogger, openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent, heldAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test.each(["delete", "clear"] as const)(
  "%s ends the only run of a thread, and is no failure",
  async (how) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = runToEnd(runner, "t", "r", agent);
    await agent.halfway;
    if (how === "delete") await runner.threads.delete("t");
    else expect(await runner.threads.clear()).toBe(1);
    await run;
    expect(await runner.threads.get("t")).toBeNull();
    await expect(runner.threads.delete("t")).rejects.toMatchObject({ code: "THREAD_NOT_FOUND" });
  },
);

test("a thread that is removed meanwhile gets no title, which is no error", async () => {
  const called = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<string>();
  const logger = collectingLogger();
  const titleFor = () => {
    called.resolve();
    return gate.promise;
  };
  const runner = openRunner({ dbPath: tempDatabase(), logger, titleFor });
  await runToEnd(runner, "t", "r", answeringAgent());
  await called.promise;
  await runner.threads.delete("t");
  gate.resolve("too late");
  await eventually(() => logger.lines.some(({ message }) => message === "a thread got no title"));
  expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
  expect(await runner.threads.get("t")).toBeNull();
});
