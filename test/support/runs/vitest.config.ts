import { defineConfig } from "vitest/config";

/** For the files beside this one, which `run.test.ts` has run. */
export default defineConfig({
  test: { include: ["test/support/runs/*.fixture.ts"], pool: "forks", watch: false },
});
