import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { BenchRunner } from "./bench-runner.ts";

type RuntimeModule = Pick<typeof import("@copilotkit/runtime/v2"), "InMemoryAgentRunner">;

/** The runner's own file in the package, which its `exports` do not name. */
const OWN_FILE = new URL(
  "./dist/v2/runtime/runner/in-memory.mjs",
  import.meta.resolve("@copilotkit/runtime/package.json"),
);

/**
 * Loads the runner without the rest of the runtime (servers, model clients, telemetry): in a
 * process that has all of that, its event-loop delay is higher, and that is not its own cost.
 * `BENCH_WHOLE_RUNTIME=1` loads all, to see the difference.
 */
async function loadRuntime(): Promise<RuntimeModule> {
  if (process.env.BENCH_WHOLE_RUNTIME !== "1" && existsSync(fileURLToPath(OWN_FILE))) {
    return (await import(OWN_FILE.href)) as RuntimeModule;
  }
  return import("@copilotkit/runtime/v2");
}

export async function openInMemory(): Promise<BenchRunner> {
  const { InMemoryAgentRunner } = await loadRuntime();
  const runner = new InMemoryAgentRunner({
    maxThreads: Infinity,
    maxRunsPerThread: Infinity,
    maxBytes: Infinity,
  });
  return {
    // Its types ask for a whole AbstractAgent; what it calls of one is what the agents here have.
    run: (request) => runner.run(request as never) as never,
    connect: (request) => runner.connect(request as never) as never,
    close: async () => {},
    stats: () => null,
  };
}
