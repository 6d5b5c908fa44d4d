import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A directory that is removed at the end of the test. */
export function tempDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A path for a database that does not exist yet, in a directory of its own. */
export function tempDatabase(): string {
  return join(tempDirectory(), "threads.db");
}
