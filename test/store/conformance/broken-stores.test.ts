import "../../support/leak-guard.ts";
import { describe, expect, it } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import type { RunStore } from "../../../src/store/run-store.ts";
import { MemoryDatabase } from "../../support/memory-database.ts";
import { MemoryRunStore } from "../../support/memory-store.ts";
import { BROKEN_STORES } from "./broken-stores.ts";
import { collectSuite } from "./collected-suite.ts";

const ALL = {
  restart: true,
  severalInstances: true,
  resources: true,
  threads: false,
  removal: false,
  transfer: false,
};
const NONE = {
  restart: false,
  severalInstances: false,
  resources: false,
  threads: false,
  removal: false,
  transfer: false,
};

/** The suite for stores in memory that `change` has changed. */
const suiteFor = (change: (store: RunStore) => RunStore) =>
  collectSuite(ALL, () => {
    const database = new MemoryDatabase();
    return { open: () => change(new MemoryRunStore(database)) };
  });

/** Each store has data of its own. */
const unsharedStore = () => ({ open: () => new MemoryRunStore() });

describe("the store suite", () => {
  // That the suite passes a store that breaks none of its rules is in the tests beside this one.
  it.each(BROKEN_STORES)("fails a store that %s", async (_, test, breakStore) => {
    const body = suiteFor(breakStore).tests.get(test);
    expect(body).toBeDefined();
    await expect(body?.()).rejects.toThrow();
    await suiteFor((store) => store).tests.get(test)?.();
  });

  it("fails a store whose data does not outlive it", async () => {
    const { tests } = collectSuite(ALL, unsharedStore);
    const name =
      "a store that is opened on the data of another: finds what was waiting when that one was closed";
    await expect(tests.get(name)?.()).rejects.toThrow();
  });

  it("fails a store whose data no other store sees", async () => {
    const { tests } = collectSuite(ALL, unsharedStore);
    const name =
      "several stores on the same data: a thread that one of them holds is refused to the other";
    await expect(tests.get(name)?.()).rejects.toThrow();
  });

  it("skips what a store does not support, and says what that needs", () => {
    const whole = collectSuite(ALL, unsharedStore);
    const stripped = (names: Iterable<string>) =>
      [...names].map((name) => name.replace(/ \[needs [\w, ]+\]$/, ""));
    const all = [...whole.tests.keys(), ...stripped(whole.skipped.keys())];
    const { tests, skipped } = collectSuite(NONE, unsharedStore);
    expect(tests.size).toBeGreaterThan(0);
    expect([...skipped.keys()]).toContain(
      "several stores on the same data: a thread that one of them holds is refused to the other [needs severalInstances]",
    );
    const names = [...tests.keys(), ...stripped(skipped.keys())];
    expect(new Set(names)).toEqual(new Set(all));
    expect(names).toHaveLength(all.length);
  });

  it("closes the stores of a test that has failed, and then removes their data", async () => {
    const steps: string[] = [];
    const { tests } = collectSuite(ALL, () => {
      const store = new MemoryRunStore();
      store.claim = () => Promise.reject(new Error("no"));
      store.close = async () => void steps.push("closed");
      return { open: () => store, cleanUp: () => void steps.push("cleaned up") };
    });
    const body = tests.get("claims: a thread without a run can be claimed");
    await expect(body?.()).rejects.toThrow("no");
    expect(steps).toEqual(["closed", "cleaned up"]);
  });

  it("refuses a manifest that does not say what the store supports", () => {
    const test = Object.assign(() => undefined, { skip: () => undefined });
    const options = { name: "n", test, setUp: unsharedStore };
    expect(() => runStoreSuite({ ...options, supports: {} as typeof ALL })).toThrow(
      new TypeError("supports.restart: expected true or false, got undefined"),
    );
  });
});
