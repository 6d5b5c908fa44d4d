import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "node",
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    // A process per file: the tests start worker threads of their own, and some end the process.
    pool: "forks",
    maxWorkers: 2,
    // A test without an assertion cannot fail.
    expect: { requireAssertions: true },
    testTimeout: 30_000,
    hookTimeout: 30_000,
    watch: false,
  },
});
