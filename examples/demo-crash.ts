import { setTimeout as sleep } from "node:timers/promises";
import { ask, connect, stop } from "./demo-client.ts";
import { progress } from "./demo-console.ts";
import type { DemoServer } from "./demo-server.ts";
import { isCompleted, type Thread } from "./demo-thread.ts";

export const START_EVERY_MS = 140;
export const COMPLETED_AT_KILL = 20;
/** The threads that a second client joins, after `MID_RUN` events. */
export const JOINED: readonly number[] = [2, 6, 10, 14];
const MID_RUN = 60;
/** The thread that is stopped, so early that a busy machine has the time to do it before the answer ends. */
export const STOPPED = 4;
const STOP_AFTER = 20;

/** Lets every thread ask its question, and kills the server when half of the runs are completed. */
export async function talkAndKill({ agentUrl, kill }: DemoServer, threads: readonly Thread[]) {
  const midRun: Promise<unknown>[] = [];
  let started = 0;

  async function talk(thread: Thread, at: number) {
    await sleep(at * START_EVERY_MS);
    started++;
    showProgress();
    thread.first = await ask(agentUrl, thread.threadId, [], thread.question, (events) => {
      if (JOINED.includes(at) && events === MID_RUN) midRun.push(join(thread));
      if (at === STOPPED && events === STOP_AFTER) midRun.push(stop(agentUrl, thread.threadId));
    });
    showProgress();
  }

  function showProgress() {
    progress(`${started} runs started, ${threads.filter(isCompleted).length} completed`);
  }

  async function join(thread: Thread) {
    thread.joined = await connect(agentUrl, thread.threadId);
  }

  const talks = threads.map(talk);
  await settled(talks, COMPLETED_AT_KILL);
  await Promise.all(midRun);
  await kill();
  await Promise.all(talks);
}

/** Resolves when `count` of the promises have resolved. */
function settled(promises: readonly Promise<void>[], count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = count;
    for (const promise of promises) {
      promise.then(() => --left === 0 && resolve(), reject);
    }
  });
}
