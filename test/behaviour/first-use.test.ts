import "../support/leak-guard.ts";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { ROOT } from "../support/build.ts";
import { collectingLogger, openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDirectory } from "../support/temp-file.ts";

const HINT = /another open runner on this database.*globalThis/;

function warningsOf({ lines }: ReturnType<typeof collectingLogger>): string[] {
  return lines.filter(({ level }) => level === "warn").map(({ message }) => message);
}

describe("a runner that was made and not used", () => {
  test("creates no directory, file or thread, and has nothing to close", async () => {
    const dbPath = join(tempDirectory(), "data", "threads.db");
    let started = 0;
    const count = () => started++;
    process.on("worker", count);
    onTestFinished(() => void process.off("worker", count));
    const runner = new SqliteAgentRunner({ dbPath });
    await runner.flush();
    expect(runner.stats()).toMatchObject({ activeRuns: 0, queueDepth: 0, lastError: null });
    await runner.close();
    expect(started).toBe(0);
    expect(existsSync(dirname(dbPath))).toBe(false);
  });

  test.each<[string, (runner: SqliteAgentRunner) => Promise<unknown>]>([
    ["ready", (runner) => runner.ready()],
    ["run", (runner) => runToEnd(runner, "t", "r", answeringAgent())],
    ["connect", (runner) => replayOf(runner, "t")],
    ["isRunning", (runner) => runner.isRunning({ threadId: "t" })],
    ["stop", (runner) => runner.stop({ threadId: "t" })],
  ])("opens its file with the first %s", async (_name, use) => {
    const dbPath = join(tempDirectory(), "data", "threads.db");
    const runner = openRunner({ dbPath });
    expect(existsSync(dbPath)).toBe(false);
    await use(runner);
    expect(existsSync(dbPath)).toBe(true);
  });

  test("reports a wrong path to every caller, and to the log once", async () => {
    const logger = collectingLogger();
    const runner = openRunner({ dbPath: tempDirectory(), logger });
    expect(logger.lines).toEqual([]);
    await expect(runner.ready()).rejects.toMatchObject({ code: "CANNOT_OPEN" });
    await expect(runner.ready()).rejects.toMatchObject({ code: "CANNOT_OPEN" });
    expect(logger.lines.map(({ message }) => message)).toEqual(["cannot open the database"]);
  });
});

describe("several open runners of one process on one file", () => {
  test("are logged once, also when their paths are written differently", async () => {
    const directory = tempDirectory();
    const link = join(tempDirectory(), "link");
    symlinkSync(directory, link);
    const logger = collectingLogger();
    const paths = [directory, link, directory].map((at) => join(at, "threads.db"));
    for (const dbPath of paths) await openRunner({ dbPath, logger }).ready();
    expect(warningsOf(logger)).toEqual([expect.stringMatching(HINT)]);
  });

  test("cause no warning when they are open one after the other, or on different files", async () => {
    const logger = collectingLogger();
    const dbPath = join(tempDirectory(), "threads.db");
    for (let time = 0; time < 2; time++) {
      const runner = openRunner({ dbPath, logger });
      await runner.ready();
      await runner.close();
    }
    for (let file = 0; file < 2; file++) {
      await openRunner({ dbPath: join(tempDirectory(), "threads.db"), logger }).ready();
      await openRunner({ dbPath: ":memory:", logger }).ready();
    }
    expect(warningsOf(logger)).toEqual([]);
  });

  test("are logged when a hot reload has loaded the package a second time", async () => {
    // Inside the project, where the imports of the package can be resolved.
    mkdirSync(join(ROOT, ".vitest"), { recursive: true });
    const reloaded = mkdtempSync(join(ROOT, ".vitest/reloaded-"));
    onTestFinished(() => rmSync(reloaded, { recursive: true, force: true }));
    cpSync(join(ROOT, "dist"), reloaded, { recursive: true });
    const again: typeof import("../../src/index.ts") = await import(`${reloaded}/src/index.js`);
    expect(again.SqliteAgentRunner).not.toBe(SqliteAgentRunner);

    const logger = collectingLogger();
    const dbPath = join(tempDirectory(), "threads.db");
    await openRunner({ dbPath, logger }).ready();
    const second = new again.SqliteAgentRunner({ dbPath, logger });
    await second.ready();
    await second.close();
    expect(warningsOf(logger)).toEqual([expect.stringMatching(HINT)]);
  });
});
