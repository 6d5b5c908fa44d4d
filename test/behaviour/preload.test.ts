import "../support/leak-guard.ts";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { spawnChild } from "../support/child-process.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILDREN = join(import.meta.dirname, "children");

test("a preloaded module that makes a runner opens a file in each thread of the user, and none in the package's worker threads", async () => {
  const dbPath = tempDatabase();
  const log = join(dirname(dbPath), "threads.log");
  const preload = `--import=${join(CHILDREN, "preloaded-runner.ts")}`;
  const script = join(CHILDREN, "uses-preloaded-runner.ts");
  const env = { ...process.env, DB_PATH: dbPath, THREADS_LOG: log };
  const child = spawnChild(process.execPath, [preload, script], { env });
  const { value } = await child.lines.next();
  expect(await child.exited).toEqual({ code: 0, stderr: "" });
  expect(value).toBe("RUN_FINISHED RUN_FINISHED");
  // The main thread and the user's worker thread, with a writer and a reader each.
  const threads = readFileSync(log, "utf8").trim().split("\n");
  expect(threads).toHaveLength(6);
  expect(new Set(threads).size).toBe(6);
});
