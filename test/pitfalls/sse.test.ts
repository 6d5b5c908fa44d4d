import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { eventsIn, post, startCopilotServer } from "../support/copilot-server.ts";
import { openRunner } from "../support/open-runner.ts";
import { finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("pitfall 5: a second run over SSE gets a RUN_ERROR, not an empty body", async () => {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "reject" });
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const server = await startCopilotServer(runner, async function* ({ input }) {
    yield started(input);
    begun.resolve();
    await gate.promise;
    yield finished(input);
  });
  const first = post(server.runUrl, inputOf("thread", "first"));
  await begun.promise;

  const second = await post(server.runUrl, inputOf("thread", "second"));
  expect(second.status).toBe(200);
  expect(await eventsIn(second)).toEqual([
    { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING", message: "Thread already running" },
  ]);
  gate.resolve();
  expect((await eventsIn(await first)).at(-1)).toEqual(
    finished({ threadId: "thread", runId: "first" }),
  );
});
