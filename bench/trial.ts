import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteAgentRunner } from "../src/index.ts";
import { applyLoad, type BenchRunner } from "./load.ts";
import { SynchronousRunner } from "./peers/synchronous.ts";

/** One peer under one load, in a process of its own: `node trial.ts PEER THREADS EVENTS SECONDS`. */
const [peer = "", threads, events, seconds] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-bench-"));
const dbPath = join(directory, "threads.db");

async function inMemory(): Promise<BenchRunner> {
  // Imported here alone: with the runtime loaded, the garbage of each run lives several times as
  // long, whoever made it.
  const { InMemoryAgentRunner } = await import("@copilotkit/runtime/v2");
  const bounds = { maxThreads: Infinity, maxRunsPerThread: Infinity, maxBytes: Infinity };
  const runner = new InMemoryAgentRunner(bounds);
  // Its types ask for a whole AbstractAgent; what it calls of one is what the load's agent has.
  return { run: (request) => runner.run(request as never) as never, close: async () => {} };
}

const PEERS: Readonly<Record<string, () => BenchRunner | Promise<BenchRunner>>> = {
  synchronous: () => new SynchronousRunner(dbPath),
  "in-memory": inMemory,
  durable: () => new SqliteAgentRunner({ dbPath }),
  "durable-normal": () => new SqliteAgentRunner({ dbPath, durability: "normal" }),
};

try {
  const make = PEERS[peer];
  if (make === undefined) throw new Error(`no peer ${JSON.stringify(peer)}`);
  const runner = await make();
  const load = {
    threads: Number(threads),
    eventsPerRun: Number(events),
    seconds: Number(seconds),
  };
  const result = await applyLoad(runner, load);
  await runner.close();
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
