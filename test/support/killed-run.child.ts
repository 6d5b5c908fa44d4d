// `node killed-run.child.ts DB_PATH THREAD_ID RUN_ID`: runs an agent that emits three words and then
// hangs. Prints "stored" when all events are in the file, and waits to be killed.
import { SqliteAgentRunner } from "../../src/index.ts";
import { inputOf, scriptedAgent, started } from "./scripted-agent.ts";

const [dbPath = "", threadId = "", runId = ""] = process.argv.slice(2);
const runner = new SqliteAgentRunner({ dbPath });
const agent = scriptedAgent(async function* ({ input }) {
  const messageId = `answer-${runId}`;
  yield started(input);
  yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
  for (const delta of ["one ", "two ", "three"]) {
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta };
  }
  setImmediate(async () => {
    await runner.flush();
    console.log("stored");
  });
  await new Promise<never>(() => setInterval(() => undefined, 60_000));
});
runner.run({ threadId, agent, input: inputOf(threadId, runId) });
