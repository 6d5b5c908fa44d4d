// `node --import preloaded-runner.ts uses-preloaded-runner.ts`: runs an agent on the preloaded runner,
// here and in a worker thread. Prints how each run ended.
import { once } from "node:events";
import { isMainThread, parentPort, threadId, Worker } from "node:worker_threads";
import { lastValueFrom, toArray } from "rxjs";
import { answeringAgent, inputOf } from "../../support/scripted-agent.ts";
import { runner } from "./preloaded-runner.ts";

const thread = `t${threadId}`;
const request = {
  threadId: thread,
  agent: answeringAgent(),
  input: inputOf(thread, `r${threadId}`),
};
await lastValueFrom(runner.run(request));
const replay = await lastValueFrom(runner.connect({ threadId: thread }).pipe(toArray()));
const said = replay.at(-1)?.type as string;
await runner.close();

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  // Wait for the end from the start: the thread may have ended when its message is handled.
  const [[saidThere]] = (await Promise.all([once(worker, "message"), once(worker, "exit")])) as [
    [string],
    unknown,
  ];
  console.log(`${said} ${saidThere}`);
} else {
  parentPort?.postMessage(said);
}
