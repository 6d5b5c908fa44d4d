// `node told-to-end.ts AGENT DB_PATH`: a server whose agent never ends, closed like in the README:
// on SIGTERM it closes its runner, with the default options, and exits.
import type { RunnableAgent } from "../../../src/index.ts";
import { SqliteAgentRunner } from "../../../src/index.ts";
import { inputOf, started } from "../../support/scripted-agent.ts";

const [kind = "", dbPath = ""] = process.argv.slice(2);
const input = inputOf("t", "r");
const runner = new SqliteAgentRunner({
  dbPath,
  logger: { debug() {}, info() {}, warn() {}, error() {} },
});

process.on("SIGTERM", async () => {
  await runner.close();
  process.exit(0);
});

const agent: RunnableAgent = {
  runAgent(_, { onEvent }) {
    if (kind !== "never begins to emit") onEvent({ event: started(input) as never });
    console.log("running");
    // Keeps the process alive, like a server.
    return new Promise(() => setInterval(() => undefined, 60_000));
  },
  abortRun(): void | Promise<void> {
    if (kind === "rejects its abort") return Promise.reject(new Error("cannot abort"));
  },
};
runner.run({ threadId: "t", agent, input });
