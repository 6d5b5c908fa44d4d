import type { StoreUnderTest } from "./store-under-test.ts";

/** What a store may do or not. A test that needs what a store does not do is skipped. */
export interface StoreSupports {
  /** The data outlives the store: a store that is opened on it later finds it. */
  readonly restart: boolean;
  /** Several stores may be open on the same data at once. */
  readonly severalInstances: boolean;
  /** It keeps the threads of different resources apart: `RunStore.hasResources`. */
  readonly resources: boolean;
  /** It lists and changes threads: `RunStore.threads`. */
  readonly threads: boolean;
  /** It removes and forks threads, too. */
  readonly removal: boolean;
  /** It exports and imports threads: `RunStore.transfer`. */
  readonly transfer: boolean;
}

/** What a test of the suite is given. */
export interface TestStores {
  /** Opens another store on the data of the test. It is closed when the test has ended. */
  readonly open: () => StoreUnderTest;
}

export type StoreTest = (stores: TestStores) => Promise<void>;

export type DefineTest = (name: string, body: StoreTest) => void;

/** The tests of one subject. */
export interface Section {
  readonly title: string;
  /** What the store has to support for these tests. */
  readonly needs?: readonly (keyof StoreSupports)[];
  readonly define: (test: DefineTest) => void;
}
