// One turn of one peer in a process of its own: `node trial.child.ts ASSIGNMENT`, an Assignment as
// JSON. The samples go to the parent as a message.
import { endedChildrenCpuMs, readCpu } from "./workloads/resources.ts";
import type { Assignment, Workload } from "./workloads/workload.ts";

/** Imported when needed, so that the heap of a trial has no modules that it does not use. */
async function workloadOf({ workload }: Assignment): Promise<Workload> {
  switch (workload) {
    case "load":
      return (await import("./workloads/load.ts")).measureLoad;
    case "steady":
      return (await import("./workloads/steady.ts")).measureSteady;
    case "model-pace":
      return (await import("./workloads/model-pace.ts")).measureModelPace;
    case "http":
      return (await import("./http/load.ts")).measureHttpLoad;
    case "http-connect":
      return (await import("./http/connect.ts")).measureHttpConnect;
    case "http-storm":
      return (await import("./http/storm.ts")).measureHttpStorm;
    case "http-slow":
      return (await import("./http/slow.ts")).measureHttpSlow;
    case "start":
      return (await import("./workloads/start.ts")).measureStart;
    case "connect":
      return (await import("./workloads/connect.ts")).measureConnect;
    case "folded":
      return (await import("./workloads/folded.ts")).measureFolded;
    case "storage":
      return (await import("./workloads/storage.ts")).measureStorage;
    case "reconnect":
      return (await import("./workloads/reconnect.ts")).measureReconnect;
    case "follow":
      return (await import("./workloads/follow.ts")).measureFollow;
    case "threads":
      return (await import("./workloads/threads.ts")).measureThreads;
    case "postgres":
      return (await import("./workloads/postgres.ts")).measurePostgres;
    case "retention":
      return (await import("./workloads/retention.ts")).measureRetention;
    case "memory":
      return (await import("./workloads/memory.ts")).measureMemory;
    case "growth":
      return (await import("./workloads/growth.ts")).measureGrowth;
    case "micro":
      return (await import("./micro/micro.ts")).measureMicro;
  }
}

const assignment = JSON.parse(process.argv[2] ?? "") as Assignment;
const measure = await workloadOf(assignment);
const points = await measure(assignment);
const cpuMs = readCpu().processUs / 1000 + endedChildrenCpuMs();
process.send?.({ points, cpuMs }, () => process.disconnect());
