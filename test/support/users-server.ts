import "../../examples/no-telemetry.ts";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { CopilotRuntime, createCopilotRuntimeHandler } from "@copilotkit/runtime/v2";
import { createCopilotExpressHandler } from "@copilotkit/runtime/v2/express";
import { createCopilotHonoHandler } from "@copilotkit/runtime/v2/hono";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { expect, onTestFinished } from "vitest";
import {
  type Identify,
  type SqliteAgentRunner,
  type WithThreadsOptions,
  withThreads,
  withThreadsListener,
} from "../../src/index.ts";
import { ScriptAgent } from "./copilot-server.ts";
import { collectingLogger, type LogLine, openRunner } from "./open-runner.ts";
import { finished, inputOf, type Script, started, text } from "./scripted-agent.ts";
import { tempDatabase } from "./temp-file.ts";

export const BASE_PATH = "/api/copilotkit";

/** How the runtime is served. */
export const MOUNTS = ["fetch handler", "Node listener", "Express router", "Hono app"] as const;
export type Mount = (typeof MOUNTS)[number];

type RuntimeOptions = Pick<
  Parameters<typeof createCopilotRuntimeHandler>[0],
  "cors" | "hooks" | "mode"
>;

export interface UsersServerOptions extends RuntimeOptions {
  readonly mount?: Mount;
  readonly script?: Script;
  readonly runner?: SqliteAgentRunner;
  readonly threads?: Partial<WithThreadsOptions>;
}

export interface RequestInput {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface UsersServer {
  readonly runner: SqliteAgentRunner;
  /** Empty for a fetch handler, which is called without a server. */
  readonly origin: string;
  /** What the server has logged. */
  readonly log: readonly LogLine[];
  /** Sends a request of the user with that name, or of nobody. The path is that below the runtime. */
  send(user: string | null, call: string, input?: RequestInput): Promise<Response>;
  /** A whole run of the user, with its question as the first message. */
  talk(user: string, threadId: string, runId: string): Promise<string>;
}

const sessionOf = (user: string) => `session-of-${user}`;

/** The login of an application: a secret in a cookie, or in a header, and who has it. */
export const identifyBySession: Identify<readonly unknown[]> = ({ headers }) => {
  const [, inCookie] = /(?:^|; )session=([^;]*)/.exec(headers.get("cookie") ?? "") ?? [];
  const [, inHeader] = /^Bearer (.*)$/.exec(headers.get("authorization") ?? "") ?? [];
  const session = inCookie ?? inHeader;
  const user = ["ada", "grace"].find((name) => sessionOf(name) === session);
  if (user === undefined) return Response.json({ error: "log in first" }, { status: 401 });
  return { resourceId: `user ${user}` };
};

export const cookieOf = (user: string) => `theme=dark; session=${sessionOf(user)}`;

export const answering: Script = function* ({ input }) {
  yield started(input);
  yield* text(`answer-${input.runId}`, `answer to ${input.runId}`);
  yield finished(input);
};

/** The real runtime with users, closed with the test. */
export async function startUsersServer(options: UsersServerOptions = {}): Promise<UsersServer> {
  const { mount = "fetch handler", script = answering } = options;
  const { runner = openRunner({ dbPath: tempDatabase() }) } = options;
  const logger = collectingLogger();
  const runtime = new CopilotRuntime({ runner, agents: { default: new ScriptAgent(script) } });
  const { cors, hooks, mode } = options;
  const given = {
    runtime,
    basePath: BASE_PATH,
    ...(cors === undefined ? {} : { cors }),
    ...(hooks === undefined ? {} : { hooks }),
    ...(mode === undefined ? {} : { mode }),
  };
  const threads = { runner, identify: identifyBySession, logger, ...options.threads };
  const { origin, fetch } = await mounted(mount, given, threads);

  const send: UsersServer["send"] = (user, call, { body, headers = {}, signal } = {}) => {
    const [method = "GET", path = ""] = call.split(" ");
    return fetch(
      new Request(`${origin}${BASE_PATH}${path}`, {
        method,
        headers: {
          ...(user === null ? {} : { cookie: cookieOf(user) }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      }),
      signal,
    );
  };
  return {
    runner,
    origin,
    log: logger.lines,
    send,
    async talk(user, threadId, runId) {
      const response = await send(user, "POST /agent/default/run", {
        body: inputOf(threadId, runId),
      });
      expect(response.status).toBe(200);
      return response.text();
    },
  };
}

interface Mounted {
  readonly origin: string;
  readonly fetch: (request: Request, signal?: AbortSignal) => Promise<Response>;
}

type HandlerOptions = Parameters<typeof createCopilotRuntimeHandler>[0] & {
  readonly basePath: string;
};

async function mounted(
  mount: Mount,
  given: HandlerOptions,
  threads: WithThreadsOptions,
): Promise<Mounted> {
  switch (mount) {
    case "fetch handler": {
      const handler = withThreads(createCopilotRuntimeHandler(given), threads);
      return { origin: "http://app.test", fetch: (request) => handler(request) };
    }
    case "Hono app": {
      const { cors, ...rest } = given;
      const app = createCopilotHonoHandler({
        ...rest,
        ...(typeof cors === "object" ? { cors: cors as never } : {}),
      });
      const handler = withThreads((request) => app.fetch(request), threads);
      return { origin: "http://app.test", fetch: (request) => handler(request) };
    }
    case "Node listener":
      return listening(withThreadsListener(createCopilotNodeListener(given), threads));
    case "Express router": {
      const { cors, ...rest } = given;
      const router = createCopilotExpressHandler({
        ...rest,
        cors: typeof cors === "object" ? (cors as never) : (cors ?? false),
      });
      return listening(withThreadsListener(router, threads));
    }
  }
}

/** Serves a listener on a free port until the test ends. */
export async function listening(listener: RequestListener): Promise<Mounted> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    // A Request holds its signal weakly: the garbage collector may take the connection between both away.
    fetch: (request, signal) => fetch(request, signal === undefined ? {} : { signal }),
  };
}
