import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { ROOT } from "../support/build.ts";

const execute = promisify(execFile);

/** Executes a run and replays it, with the package imported by its own name. */
const SCRIPT = `
  import { SqliteAgentRunner } from "durable-agent-runner";
  const agent = {
    abortRun() {},
    async runAgent({ threadId, runId }, { onEvent }) {
      onEvent({ event: { type: "RUN_STARTED", threadId, runId } });
      onEvent({ event: { type: "RUN_FINISHED", threadId, runId } });
    },
  };
  const runner = new SqliteAgentRunner();
  const input = { threadId: "t", runId: "r", messages: [], state: {}, tools: [], context: [] };
  await new Promise((complete) => runner.run({ threadId: "t", agent, input }).subscribe({ complete }));
  runner.connect({ threadId: "t" }).subscribe({
    next: ({ type }) => console.log(type),
    complete: () => runner.close(),
  });
`;

describe("the built package", () => {
  it("can be imported by its name, and finds its workers", async () => {
    const { stdout } = await execute(
      process.execPath,
      ["--input-type=module", "--eval", SCRIPT],
      // Without type stripping, so that a worker in the sources would fail.
      { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: "--no-experimental-strip-types" } },
    );
    expect(stdout).toBe("RUN_STARTED\nRUN_FINISHED\n");
  });
});
