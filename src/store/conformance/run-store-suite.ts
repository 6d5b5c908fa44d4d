import type { RunStore } from "../run-store.ts";
import { claims } from "./claims.ts";
import { closing } from "./closing.ts";
import { following } from "./following.ts";
import { hardContent } from "./hard-content.ts";
import { history } from "./history.ts";
import { historyPages } from "./history-pages.ts";
import { holdersOfSeveralInstances, threadHolders } from "./holders.ts";
import { ids } from "./ids.ts";
import { listedThreads, searchedAfterRemoval, searchedThreads } from "./listed-threads.ts";
import { messagesSeen } from "./messages-seen.ts";
import { movedThreads } from "./moved-threads.ts";
import { erasedThreads, purgedThreads } from "./purged-threads.ts";
import {
  forkedThreads,
  removedThreads,
  removedThreadsOfSeveralInstances,
} from "./removed-threads.ts";
import { repeatedRunIds } from "./repeated-run-ids.ts";
import { resources, resourcesOfSeveralInstances } from "./resources.ts";
import { restart } from "./restart.ts";
import { runs } from "./runs.ts";
import type { Section, StoreSupports, StoreTest } from "./section.ts";
import { severalInstances } from "./several-instances.ts";
import { singleRuns } from "./single-runs.ts";
import { flushAndStats } from "./stats.ts";
import { stopping } from "./stopping.ts";
import { StoreUnderTest } from "./store-under-test.ts";

export type { StoreSupports } from "./section.ts";

const SECTIONS: readonly Section[] = [
  claims,
  ids,
  repeatedRunIds,
  messagesSeen,
  runs,
  history,
  historyPages,
  hardContent,
  flushAndStats,
  closing,
  restart,
  severalInstances,
  following,
  stopping,
  resources,
  resourcesOfSeveralInstances,
  listedThreads,
  searchedThreads,
  searchedAfterRemoval,
  singleRuns,
  threadHolders,
  holdersOfSeveralInstances,
  removedThreads,
  forkedThreads,
  removedThreadsOfSeveralInstances,
  purgedThreads,
  erasedThreads,
  movedThreads,
];

/** `test` of `node:test`, vitest, or any test runner that has one like it. */
export interface RegisterTest {
  (name: string, body: () => Promise<void>): unknown;
  /** Reports a test as not run. */
  readonly skip: (name: string, body: () => Promise<void>) => unknown;
}

/** The data of one test. */
export interface StoreData {
  /** Makes a store. Each call makes another one, on the same data where the store supports that. */
  open(): RunStore;
  /** Called when the test has ended and its stores are closed. */
  cleanUp?(): void | Promise<void>;
}

export interface StoreSuiteOptions {
  /** Names the store in the report. */
  readonly name: string;
  readonly test: RegisterTest;
  /** Groups the tests by subject. Without it, each test's name begins with the subject. */
  readonly describe?: ((title: string, define: () => void) => unknown) | undefined;
  /** What the store does. Tests that need more are reported as skipped, with what they need. */
  readonly supports: StoreSupports;
  /** Called once in each test, which is to find no data of an earlier one. */
  readonly setUp: () => StoreData | Promise<StoreData>;
}

/**
 * Registers the tests that every `RunStore` has to pass. The rules that they test are written in
 * the port, beside the method that each is about.
 *
 * The suite has no time limit. A store that hangs is for the test runner to end.
 *
 * @throws {TypeError} `supports` does not say of each feature whether the store has it.
 */
export function runStoreSuite(options: StoreSuiteOptions): void {
  const { name, test, describe, supports, setUp } = options;
  for (const section of SECTIONS) {
    const { needs = [] } = section;
    const missing = needs.filter((feature) => !isTrue(supports, feature));
    const title = `${name}: ${section.title}`;
    const register = () =>
      section.define((testName, body) => {
        const fullName = describe === undefined ? `${title}: ${testName}` : testName;
        const run = () => runTest(setUp, body);
        if (missing.length === 0) test(fullName, run);
        else test.skip(`${fullName} [needs ${missing.join(", ")}]`, run);
      });
    if (describe === undefined) register();
    else describe(title, register);
  }
}

function isTrue(supports: StoreSupports, feature: keyof StoreSupports): boolean {
  const value: unknown = supports[feature];
  if (typeof value === "boolean") return value;
  throw new TypeError(`supports.${feature}: expected true or false, got ${String(value)}`);
}

async function runTest(setUp: StoreSuiteOptions["setUp"], body: StoreTest): Promise<void> {
  const data = await setUp();
  const opened: StoreUnderTest[] = [];
  const open = () => {
    const store = new StoreUnderTest(data.open());
    opened.push(store);
    return store;
  };
  try {
    await body({ open });
  } finally {
    for (const store of opened.toReversed()) {
      // What a test made unstorable is no failure of closing.
      await store.close().catch(() => undefined);
    }
    await data.cleanUp?.();
  }
  for (const store of opened) store.expectNothingUnexpected();
}
