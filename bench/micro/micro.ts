import { Bench } from "tinybench";
import type { Point } from "../results.ts";
import type { Assignment } from "../workloads/workload.ts";
import { addBatcher } from "./batcher.ts";
import { addClaim } from "./claim.ts";
import { addCompact } from "./compact.ts";
import { addFinalize } from "./finalize.ts";
import { addSerialization } from "./serialization.ts";
import { addTelemetry } from "./telemetry.ts";

/** Measures the inner steps of a run, one at a time. `seconds` is the time for each step. */
export async function measureMicro({
  seconds,
  warmUpSeconds,
  directory,
}: Assignment): Promise<readonly Point[]> {
  const bench = new Bench({ time: seconds * 1000, warmupTime: warmUpSeconds * 1000, throws: true });
  addBatcher(bench);
  addFinalize(bench);
  addCompact(bench);
  addSerialization(bench);
  addTelemetry(bench);
  const closeClaim = addClaim(bench, directory);
  const tasks = await bench.run();
  closeClaim();
  return tasks.map(({ name, result }) => {
    if (!("latency" in result)) throw new Error(`${name} was not measured: ${result.state}`);
    const { latency, throughput } = result;
    const figures = {
      opsPerSecond: throughput.p50,
      latencyP50Us: latency.p50 * 1000,
      latencyP99Us: latency.p99 * 1000,
    };
    return { peer: name, x: 0, figures };
  });
}
