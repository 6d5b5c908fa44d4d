import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../support/free-port.ts";
import { ANSWER } from "./model-server.ts";
import { killGroup, type Project } from "./project.ts";

const START_MS = 60_000;
const REQUEST_MS = 60_000;
const LOOK_EVERY_MS = 100;

export interface ServerCommand {
  readonly project: Project;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/**
 * A conversation over HTTP and a reconnect: a server answers a message and gets SIGTERM. A second
 * process is started, and replays the thread.
 */
export async function converse(server: ServerCommand): Promise<string> {
  const threadId = `thread-${crypto.randomUUID()}`;
  const messages = [{ id: crypto.randomUUID(), role: "user", content: "Is all kept?" }];
  const run = await during(server, (url) => post(`${url}/run`, threadId, messages));
  expectAnswer("run", run);
  const replay = await during(server, (url) => post(`${url}/connect`, threadId, []));
  expectAnswer("connect after a restart", replay);
  return `${run.length} events live, ${replay.length} after a restart`;
}

/** Calls `use` while the server runs, with the URL of its agent. The server gets SIGTERM afterwards. */
export async function during<T>(
  { project, command, args, env }: ServerCommand,
  use: (agentUrl: string) => Promise<T>,
): Promise<T> {
  const port = await freePort();
  const { child, output, exited } = project.start(command, args, {
    ...env,
    PORT: String(port),
    HOSTNAME: "127.0.0.1",
  });
  const base = `http://127.0.0.1:${port}/api/copilotkit`;
  try {
    const ended = exited.then((code) => {
      throw new Error(`it ended with ${code}`);
    });
    // The process ends in any case, but this no longer waits for it.
    ended.catch(() => undefined);
    await Promise.race([listening(base), ended]);
    const result = await Promise.race([use(`${base}/agent/default`), ended]);
    child.kill("SIGTERM");
    await Promise.race([exited, delay(START_MS, undefined, { ref: false })]);
    return result;
  } catch (error) {
    throw new Error(`${command} ${args.join(" ")}: ${error}\n${output()}`, { cause: error });
  } finally {
    killGroup(child);
    await exited;
  }
}

async function listening(base: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      const { ok, status } = await fetch(`${base}/info`);
      // A server with a login is there as well.
      if (ok || status === 401) return;
      throw new Error(`/info answers ${status}`);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(LOOK_EVERY_MS);
    }
  }
}

interface Event {
  readonly type: string;
  readonly delta?: string;
}

async function post(url: string, threadId: string, messages: readonly object[]): Promise<Event[]> {
  const runId = crypto.randomUUID();
  const input = {
    threadId,
    runId,
    messages,
    state: {},
    tools: [],
    context: [],
    forwardedProps: {},
  };
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(input),
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text}`);
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, json = ""]) => JSON.parse(json) as Event);
}

function expectAnswer(what: string, events: readonly Event[]): void {
  const said = events.map(({ type, delta }) => (type === "TEXT_MESSAGE_CONTENT" ? delta : ""));
  const isWhole = said.join("") === ANSWER.join("") && events.at(-1)?.type === "RUN_FINISHED";
  if (!isWhole) throw new Error(`${what} is not the whole answer: ${JSON.stringify(events)}`);
}
