// The server of an HTTP trial: `node server.child.ts SETTINGS`, ServerSettings as JSON. It says
// where it listens, and answers questions until its parent has gone.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { openPeer } from "../peers/open-peer.ts";
import { type LoopDelay, watchLoopDelay } from "../workloads/loop-delay.ts";
import { heldBytes, peakRssMiB, readCpu } from "../workloads/resources.ts";
import { runHistories } from "./histories.ts";
import { Gate, ServedAgent } from "./served-agent.ts";
import type { ServerQuestions, ServerSettings } from "./server.ts";

const BASE_PATH = "/api/copilotkit";

const { peer, dbPath, histories = [] } = JSON.parse(process.argv[2] ?? "") as ServerSettings;
const runner = await openPeer(peer, dbPath);
await runHistories(runner, histories);
const gate = new Gate();
const runtime = new CopilotRuntime({
  // Its types ask for methods that no trial calls.
  runner: runner as never,
  agents: { default: new ServedAgent(gate) },
});
const server = createServer(createCopilotNodeListener({ runtime, basePath: BASE_PATH }));
// On a busy machine, a client may be late: no connection is closed before it asks again.
server.keepAliveTimeout = 0;
server.headersTimeout = 0;
server.requestTimeout = 0;
// A storm of clients is queued, not refused.
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
await once(server, "listening");

let endWatch: (() => Promise<LoopDelay>) | undefined;
const answers: ServerQuestions = {
  cpu: async () => readCpu(),
  memory: async () => ({ heldBytes: await heldBytes(), peakRssMiB: peakRssMiB() }),
  watchLoop: async () => {
    endWatch = await watchLoopDelay();
  },
  loopDelay: () => {
    if (endWatch === undefined) throw new Error("the loop is not watched");
    return endWatch();
  },
  release: async () => gate.release(),
  close: async () => {
    server.close();
    server.closeAllConnections();
    await runner.close();
    process.disconnect();
  },
};
process.on("message", async (question: keyof ServerQuestions) => {
  const answer = await answers[question]();
  if (process.connected) process.send?.({ answer });
});
// Also when the parent was killed.
process.once("disconnect", () => process.exit());
process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}${BASE_PATH}`);
