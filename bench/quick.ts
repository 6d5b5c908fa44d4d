// `npm run bench`: the same load on each peer, one after another, each in a process of its own.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import type { Load, LoadResult } from "./load.ts";

/** What each peer keeps when its process is killed. */
const PEERS: readonly (readonly [peer: string, promise: string])[] = [
  ["synchronous", "completed runs; a run in flight is lost and its thread locked"],
  ["in-memory", "nothing"],
  ["durable", "completed runs, and runs in flight up to 50 ms ago"],
];

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "200" },
    events: { type: "string", default: "24" },
    seconds: { type: "string", default: "10" },
  },
});
const load: Load = {
  threads: Number(values.threads),
  eventsPerRun: Number(values.events),
  seconds: Number(values.seconds),
};
console.log(
  `${load.threads} busy threads, ${load.eventsPerRun} events a run, ${load.seconds} s each, Node ${process.versions.node}\n`,
);

const results = new Map<string, LoadResult>();
for (const [peer] of PEERS) {
  process.stderr.write(`running ${peer} ...\n`);
  results.set(peer, await runTrial(peer));
}

const baseline = results.get("synchronous");
const rows = PEERS.map(([peer, promise]) => {
  const result = results.get(peer);
  if (result === undefined || baseline === undefined) throw new Error(`no result of ${peer}`);
  return {
    runner: peer,
    "runs/s": Math.round(result.runsPerSecond),
    "x synchronous": Number((result.runsPerSecond / baseline.runsPerSecond).toFixed(1)),
    "loop delay p99, ms": Number(result.loopDelayP99Ms.toFixed(1)),
    "loop delay max, ms": Number(result.loopDelayMaxMs.toFixed(1)),
    "kept after kill -9": promise,
  };
});
console.table(rows);

async function runTrial(peer: string): Promise<LoadResult> {
  const trial = fileURLToPath(new URL("./trial.ts", import.meta.url));
  const args = [peer, load.threads, load.eventsPerRun, load.seconds].map(String);
  const env = { ...process.env, COPILOTKIT_TELEMETRY_DISABLED: "true" };
  const { stdout } = await promisify(execFile)(process.execPath, [trial, ...args], { env });
  return JSON.parse(stdout) as LoadResult;
}
