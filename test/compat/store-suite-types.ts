/*
 * Nothing here is executed: `npx tsc --noEmit` checks that the store suite fits the test runners.
 * `@ts-expect-error` lines fail the check when they stop being errors.
 */
import * as nodeTest from "node:test";
import * as vitest from "vitest";
import {
  runStoreSuite,
  type StoreSuiteOptions,
} from "../../src/store/conformance/run-store-suite.ts";

declare const rest: Pick<StoreSuiteOptions, "name" | "supports" | "setUp">;

export function testRunners(): void {
  runStoreSuite({ ...rest, test: nodeTest.test });
  runStoreSuite({ ...rest, test: nodeTest.test, describe: nodeTest.describe });
  runStoreSuite({ ...rest, test: vitest.test, describe: vitest.describe });
  // @ts-expect-error what is not supported could not be reported
  runStoreSuite({ ...rest, test: (_name: string, _body: () => Promise<void>) => undefined });
}
