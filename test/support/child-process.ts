import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";

export interface Child {
  readonly process: ChildProcess;
  /** Its lines on stdout, as they arrive. */
  readonly lines: AsyncIterator<string>;
  readonly exited: Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** `kill -9`, and waits until the process is gone. */
  readonly kill: () => Promise<void>;
}

/** A process that does not outlive its test. */
export function spawnChild(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    /** The id of another user. Only root may set it. */
    readonly uid?: number;
    readonly gid?: number;
  } = {},
): Child {
  const child = spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  const exited = once(child, "close").then(([code]) => ({ code: code as number | null, stderr }));
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  onTestFinished(kill);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { process: child, lines, exited, kill };
}

/** The next line of a child's stdout. Throws the child's stderr when there is no further line. */
export async function nextLine(child: Child): Promise<string> {
  const { value, done } = await child.lines.next();
  if (done === true) {
    const { code, stderr } = await child.exited;
    throw new Error(`the child exited with ${code}: ${stderr}`);
  }
  return value as string;
}
