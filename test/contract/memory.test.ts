import { MemoryRunStore, MemoryRuns } from "./memory-run-store.ts";
import { describeRunStore } from "./run-store-contract.ts";

describeRunStore("an array in memory", { shared: true }, () => {
  const runs = new MemoryRuns();
  return () => new MemoryRunStore(runs);
});
