import {
  type RegisterTest,
  runStoreSuite,
  type StoreData,
  type StoreSupports,
} from "../../../src/store/conformance/run-store-suite.ts";

type Body = () => Promise<void>;

/** The tests of the suite by name. None of them is run. */
export interface CollectedSuite {
  readonly tests: ReadonlyMap<string, Body>;
  readonly skipped: ReadonlyMap<string, Body>;
}

const STORE = "store";

export function collectSuite(supports: StoreSupports, setUp: () => StoreData): CollectedSuite {
  const tests = new Map<string, Body>();
  const skipped = new Map<string, Body>();
  const collectIn = (map: Map<string, Body>) => (name: string, body: Body) => {
    const ownName = name.replace(`${STORE}: `, "");
    if (map.has(ownName)) throw new Error(`there are two tests of the name ${ownName}`);
    map.set(ownName, body);
  };
  const test: RegisterTest = Object.assign(collectIn(tests), { skip: collectIn(skipped) });
  runStoreSuite({ name: STORE, test, supports, setUp });
  return { tests, skipped };
}
