import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

const START_TIMEOUT_MS = 60_000;
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface DemoServer {
  /** The URL of the agent "default". */
  readonly agentUrl: string;
  /** `kill -9`, and waits until the process is gone. */
  kill(): Promise<void>;
}

/** Starts examples/server.ts on a free port, as a process that does not outlive this one. */
export async function startServer(dbPath: string): Promise<DemoServer> {
  const child = spawn(process.execPath, [`${import.meta.dirname}/server.ts`], {
    env: { ...process.env, PORT: "0", DB_PATH: dbPath, AGENT_PACE_MS: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const exited = once(child, "exit").then(() => running.delete(child));

  let output = "";
  const url = new Promise<string>((resolve) => {
    const read = (chunk: string) => {
      output += chunk;
      const announced = /^CopilotKit runtime at (\S+)\n/m.exec(output);
      if (announced?.[1]) resolve(announced[1]);
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
  });
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  const failed = Promise.race([exited, once(timeout, "abort")]).then(() => {
    throw new Error(`The server did not start:\n${output}`);
  });
  const baseUrl = await Promise.race([url, failed]);

  return {
    agentUrl: `${baseUrl}/agent/default`,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
