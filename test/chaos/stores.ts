import type { ChaosStore } from "./faults.ts";
import { POSTGRES } from "./postgres/store.ts";
import { SQLITE } from "./sqlite/store.ts";

export const STORES: readonly ChaosStore[] = [SQLITE, POSTGRES];
