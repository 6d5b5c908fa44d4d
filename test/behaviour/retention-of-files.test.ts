import "../support/leak-guard.ts";
import { statSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import { valueIn } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent, finished, scriptedAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const HOUR_MS = 3_600_000;

test("a purge gives the space of a new file back", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const long = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield { type: "CUSTOM", name: "long", value: "x".repeat(2_000_000) };
    yield finished(input);
  });
  for (let at = 0; at < 5; at++) await runToEnd(runner, `t${at}`, "r", long);
  await runner.purge({ maxThreads: 1 });
  expect(valueIn(dbPath, "PRAGMA freelist_count")).toBe(0);
  await runner.close();
  expect(statSync(dbPath).size).toBeLessThan(4_000_000);
});

test("the messages of removed threads go with them", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const threadId of ["a", "b"]) await runToEnd(runner, threadId, "r", answeringAgent());
  await runner.purge({ maxThreads: 1 });
  const left = valueIn(dbPath, "SELECT count(DISTINCT thread_id) FROM thread_messages");
  expect(left).toBeLessThan(2);
});

test("the option retention does not open a file that is not used", async () => {
  const dbPath = tempDatabase();
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const runner = openRunner({ dbPath, retention: { maxThreads: 1, everyMs: HOUR_MS } });
  await vi.advanceTimersByTimeAsync(10 * HOUR_MS);
  expect(statSync(dbPath, { throwIfNoEntry: false })).toBeUndefined();
  vi.useRealTimers();
  await runner.close();
});
