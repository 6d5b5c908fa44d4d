import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";

const EXAMPLES = join(import.meta.dirname, "../../examples");
/** What is started: a server alone, or `npm start`, which supervises servers and builds their page. */
type Script = "server.ts" | "start.ts";

export interface ServerProcess {
  readonly child: ChildProcess;
  readonly exitCode: Promise<number | null>;
  /** Its output so far. */
  output(): string;
}

type CleanUp = () => Promise<void>;

/**
 * An example, on a free port unless `env` sets one. It is killed by the function that `atEnd` gets, at the
 * latest at the end of the test. The servers of `npm start` end when it is killed.
 */
export function spawnServer(
  env: Record<string, string>,
  atEnd: (kill: CleanUp) => void = onTestFinished,
  script: Script = "server.ts",
): ServerProcess {
  const child = spawn(process.execPath, [join(EXAMPLES, script)], {
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exitCode = once(child, "exit").then(([code]) => code as number | null);
  atEnd(async () => {
    child.kill("SIGKILL");
    await exitCode;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  }
  return { child, exitCode, output: () => output };
}

export interface CurlLines {
  readonly run: string;
  readonly connect: string;
  readonly stop: string;
}

/** Starts a server and reads the three commands that it prints, as a user would. */
export async function startServer(
  env: Record<string, string>,
  atEnd?: (kill: CleanUp) => void,
  script?: Script,
): Promise<ServerProcess & { curl: CurlLines }> {
  const server = spawnServer(env, atEnd, script);
  await new Promise<void>((resolve, reject) => {
    server.child.stdout?.on("data", () => {
      if (curlLinesIn(server.output()).length === 3) resolve();
    });
    server.exitCode.then((code) =>
      reject(new Error(`The server exited with ${code}: ${server.output()}`)),
    );
  });
  const [run = "", connect = "", stop = ""] = curlLinesIn(server.output());
  return { ...server, curl: { run, connect, stop } };
}

function curlLinesIn(output: string): string[] {
  return output.match(/^curl .*(?=\n)/gm) ?? [];
}

/** Runs a line in a shell and gives its lines of output as they arrive. */
export async function* shell(line: string): AsyncGenerator<string> {
  const child = spawn("sh", ["-c", line], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  try {
    yield* createInterface({ input: child.stdout });
    const [code] = await exited;
    if (code !== 0) throw new Error(`${line} exited with ${code}`);
  } finally {
    child.kill("SIGKILL");
  }
}

export interface ServedEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The events of a stream of server-sent events, as they arrive. */
export async function* events(line: string): AsyncGenerator<ServedEvent> {
  for await (const text of shell(line)) {
    if (text.startsWith("data: ")) yield JSON.parse(text.slice("data: ".length)) as ServedEvent;
  }
}

/** The text of the agent's answer, from deltas or compacted. */
export function textOf(seen: readonly ServedEvent[]): string {
  return seen
    .filter(({ type }) => type === "TEXT_MESSAGE_CONTENT")
    .map(({ delta }) => delta)
    .join("");
}
