import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { openRunner, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const thread = { threadId: "t" };

test("is false for an unknown thread, true during a run, false after it", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  expect(await runner.isRunning(thread)).toBe(false);
  const agent = puppetAgent();
  const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  expect(await runner.isRunning(thread)).toBe(true);
  await agent.started;
  expect(await runner.isRunning(thread)).toBe(true);
  expect(await runner.isRunning({ threadId: "t2" })).toBe(false);
  agent.finish();
  await watched.done;
  expect(await runner.isRunning(thread)).toBe(false);
});

test("returns a promise", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const answer = runner.isRunning(thread);
  expect(answer).toBeInstanceOf(Promise);
  await answer;
});

test("is true on another runner on the same file, and false when the run is over", async () => {
  const dbPath = tempDatabase();
  const one = openRunner({ dbPath });
  const other = openRunner({ dbPath });
  const agent = puppetAgent();
  const watched = watch(one.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  expect(await other.isRunning(thread)).toBe(true);
  agent.finish();
  await watched.done;
  expect(await other.isRunning(thread)).toBe(false);
});
