import { defineConfig } from "vitest/config";
import { COMPILE_CACHE } from "./test/support/compile-cache.ts";

export default defineConfig({
  test: {
    environment: "node",
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/build.ts", "test/support/compile-cache.ts"],
    setupFiles: ["test/support/quiet-clients.ts"],
    // A process per file: the tests start worker threads of their own, and some end the process.
    pool: "forks",
    maxWorkers: 2,
    // A test without an assertion cannot fail.
    expect: { requireAssertions: true },
    // Long, so that only a test that hangs reaches it: a machine may be busy with something else.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // CopilotKit's runtime reads the second while it is being loaded, in whatever order a test imports it.
    env: { NODE_COMPILE_CACHE: COMPILE_CACHE, COPILOTKIT_TELEMETRY_DISABLED: "true" },
    watch: false,
  },
});
