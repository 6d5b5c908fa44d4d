// Preloaded: appends what comes on the channel of leases to the file LEASE_LOG, one message a line.
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const file = process.env.LEASE_LOG;
if (isMainThread && file !== undefined) {
  subscribe("durable-agent-runner:lease", (message) =>
    appendFileSync(file, `${JSON.stringify(message)}\n`),
  );
}
