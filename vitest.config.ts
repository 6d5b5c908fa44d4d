import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "node",
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    // A process per file: the tests start worker threads of their own, and some end the process.
    pool: "forks",
    // V8 13.6 ends a process now and then in which many worker threads end, with "Check failed:
    // jit_page.has_value()", where the processor has protection keys. https://github.com/nodejs/node/issues/64500
    execArgv: ["--no-memory-protection-keys"],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    watch: false,
  },
});
