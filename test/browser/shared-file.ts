import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";

/** A path for a database that all tests of a file share. It is there from the first `beforeAll` on. */
export function fileForAllTests(): () => string {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-test-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return () => join(directory, "threads.db");
}
