import { expect, test } from "vitest";
import type { RegisterTest } from "../../../src/store/conformance/run-store-suite.ts";

/** The `test` of vitest for the suite, whose own assertions vitest does not count: it fails a test without one. */
export const suiteTest: RegisterTest = Object.assign(
  (name: string, body: () => Promise<void>) =>
    test(name, async () => {
      expect(await body()).toBeUndefined();
    }),
  { skip: test.skip },
);
