// A process of the trial `postgres`: `node postgres-load.child.ts ASSIGNMENT`, a LoadAssignment as JSON.
import type { Load, LoadAnswer, LoadAssignment, LoadPhase } from "./postgres-load.ts";

async function loadOf(assignment: LoadAssignment): Promise<Load> {
  switch (assignment.peer) {
    case "postgres":
      return (await import("./postgres-runner.ts")).openRunnerLoad(assignment);
    case "postgres-store":
      return (await import("../micro/postgres-store.ts")).openStoreLoad(assignment);
    default:
      return (await import("../micro/postgres-limit.ts")).openInsertLoad(assignment);
  }
}

const load = await loadOf(JSON.parse(process.argv[2] ?? "") as LoadAssignment);

process.on("message", async ({ name, seconds }: LoadPhase) => {
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const cpu = process.threadCpuUsage();
  const runs = await load.run(`${name}-${process.pid}`, () => performance.now() >= until);
  const { user, system } = process.threadCpuUsage(cpu);
  const answer: LoadAnswer = {
    ...{ runs, mainUs: user + system },
    seconds: (performance.now() - startedAt) / 1000,
  };
  process.send?.(answer);
});
process.once("disconnect", async () => {
  await load.close();
  process.exit();
});
process.send?.("ready");
