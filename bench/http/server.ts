import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { PeerName } from "../peers/peers.ts";
import type { LoopDelay } from "../workloads/loop-delay.ts";
import type { CpuReading } from "../workloads/resources.ts";
import type { History } from "./histories.ts";

const CHILD = fileURLToPath(new URL("./server.child.ts", import.meta.url));

export interface ServerSettings {
  readonly peer: PeerName;
  readonly dbPath: string;
  /** What its runner executes before it listens. */
  readonly histories?: readonly History[];
}

export interface ServerMemory {
  /** What the main thread holds after a collection: its heap, and what it keeps outside. */
  readonly heldBytes: number;
  readonly peakRssMiB: number;
}

/** What the server can be asked. */
export interface ServerQuestions {
  cpu(): Promise<CpuReading>;
  memory(): Promise<ServerMemory>;
  watchLoop(): Promise<void>;
  /** Since `watchLoop`. */
  loopDelay(): Promise<LoopDelay>;
  /** Held runs go on. */
  release(): Promise<void>;
  /** Ends the process. It does not answer. */
  close(): Promise<void>;
}

export interface HttpServer {
  /** The `runtimeUrl` of CopilotKit's clients. */
  readonly runtimeUrl: string;
  /** One question at a time. */
  ask<Question extends keyof ServerQuestions>(
    question: Question,
  ): ReturnType<ServerQuestions[Question]>;
  /** Closes its runner and ends it. */
  close(): Promise<void>;
}

/** Starts CopilotKit's runtime on one of the runners, in a process of its own. */
export async function startHttpServer(settings: ServerSettings): Promise<HttpServer> {
  const child = fork(CHILD, [JSON.stringify(settings)], { execArgv: [] });
  const exited = once(child, "exit");
  const gone = exited.then(([code, signal]) => {
    throw new Error(`the server of the trial ended with ${signal ?? code}`);
  });
  gone.catch(() => undefined);
  const message = async () => (await Promise.race([once(child, "message"), gone]))[0];
  const runtimeUrl = (await message()) as string;
  return {
    runtimeUrl,
    ask(question) {
      const answered = message();
      child.send(question);
      return answered.then(({ answer }) => answer) as never;
    },
    async close() {
      if (child.connected) child.send("close");
      await exited;
    },
  };
}
