import "../support/leak-guard.ts";
import { statSync } from "node:fs";
import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { collectingLogger, openRunner, runToEnd } from "../support/open-runner.ts";
import { finished, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const MIB = 1024 * 1024;

test("a WAL that grows because of a long reader is warned of once, and stats() gives its size", async () => {
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const runner = openRunner({ dbPath, logger, durability: "normal" });
  await runner.ready();
  const longAnswer = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* text(`answer-${input.runId}`, "x".repeat(16 * MIB));
    yield finished(input);
  });
  const growth = () => logger.lines.filter(({ message }) => message.startsWith("the WAL grows"));
  // Without a reader, SQLite uses the WAL's space again and again.
  for (let at = 0; at < 2; at++) await runToEnd(runner, "t", `alone-${at}`, longAnswer);
  expect(growth()).toEqual([]);
  expect(runner.stats().walBytes).toBe(statSync(`${dbPath}-wal`).size);
  const reader = new Database(dbPath, { readonly: true });
  onTestFinished(() => void reader.close());
  reader.exec("BEGIN");
  reader.prepare("SELECT count(*) FROM agent_runs").get();
  for (let at = 0; at < 9; at++) await runToEnd(runner, "t", `watched-${at}`, longAnswer);
  expect(runner.stats().walBytes).toBeGreaterThan(128 * MIB);
  expect(growth()).toMatchObject([{ level: "warn", fields: { dbPath } }]);
});
