import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";
import { outcomeOf } from "./run-outcome.ts";

/** A reporter of vitest that writes the outcome to the file that the environment variable names. */
export default class OutcomeReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const path = process.env.TEST_OUTCOME;
    if (path !== undefined) writeFileSync(path, JSON.stringify(outcomeOf(modules, errors)));
  }
}
