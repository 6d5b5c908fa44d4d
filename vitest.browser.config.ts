import { defineConfig } from "vitest/config";

/** `npm run test:browser`: the tests that need Chromium, apart from those of `npm test`. */
export default defineConfig({
  test: {
    environment: "node",
    // CopilotKit's runtime reads it while it is being loaded, in whatever order a test imports it.
    env: { COPILOTKIT_TELEMETRY_DISABLED: "true" },
    include: ["test/browser/*.browser.ts"],
    globalSetup: ["test/browser/page.ts"],
    pool: "forks",
    // As long as the steps on a page have: see `setDefaultTimeout` in browser.ts.
    expect: { requireAssertions: true, poll: { timeout: 60_000 } },
    // As in vitest.config.ts.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    watch: false,
  },
});
