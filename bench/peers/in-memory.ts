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
 * Loads the runner without the rest of the runtime (servers, model clients, telemetry). With the whole
 * runtime in the process, the event-loop delay is higher, which is not a cost of the runner.
 * `BENCH_WHOLE_RUNTIME=1` loads the whole runtime for comparison.
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
    // Its types ask for an AbstractAgent. The agents here have the methods that it calls.
    run: (request) => runner.run(request as never) as never,
    connect: (request) => runner.connect(request as never) as never,
    close: async () => {},
    stats: () => null,
  };
}
