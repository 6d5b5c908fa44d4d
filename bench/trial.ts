import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InMemoryAgentRunner } from "@copilotkit/runtime/v2";
import { SqliteAgentRunner } from "../src/index.ts";
import { applyLoad, type BenchRunner } from "./load.ts";
import { SynchronousRunner } from "./peers/synchronous.ts";

/** One peer under one load, in a process of its own: `node trial.ts PEER THREADS EVENTS SECONDS`. */
const [peer = "", threads, events, seconds] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-bench-"));
const dbPath = join(directory, "threads.db");

function inMemory(): BenchRunner {
  const bounds = { maxThreads: Infinity, maxRunsPerThread: Infinity, maxBytes: Infinity };
  const runner = new InMemoryAgentRunner(bounds);
  // Its types ask for a whole AbstractAgent; what it calls of one is what the load's agent has.
  return { run: (request) => runner.run(request as never) as never, close: async () => {} };
}

const PEERS: Readonly<Record<string, () => BenchRunner>> = {
  synchronous: () => new SynchronousRunner(dbPath),
  "in-memory": inMemory,
  durable: () => new SqliteAgentRunner({ dbPath }),
  "durable-normal": () => new SqliteAgentRunner({ dbPath, durability: "normal" }),
};

try {
  const make = PEERS[peer];
  if (make === undefined) throw new Error(`no peer ${JSON.stringify(peer)}`);
  const runner = make();
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
