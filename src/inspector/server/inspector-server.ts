import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { EVERY_RESOURCE, type StoreAgentRunner, withResource } from "../../index.ts";
import { Access, newToken, SAFE_HEADERS } from "./access.ts";
import { LiveStream } from "./live-stream.ts";
import { type PageFile, readPage } from "./page-files.ts";
import { Parameters } from "./parameters.ts";
import { bodyOf, invalid, Refusal, refusalOf } from "./refusal.ts";
import { type InspectedDatabase, newRoutes, type Routes } from "./routes.ts";
import { RunReader } from "./run-reader.ts";

export interface InspectorOptions {
  readonly runner: StoreAgentRunner;
  readonly database: InspectedDatabase;
  /** Of the package. */
  readonly version: string;
  /** The directory of the built page. */
  readonly page: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Only threads of this resource. Default: of all. */
  readonly resource?: string | undefined;
}

export interface InspectorServer {
  /** With the token. */
  readonly url: string;
  /** A link that leads to `url` once, within a minute. */
  urlForOnce(): string;
  close(): Promise<void>;
}

/** Bytes of the headers of a request: ids are long, and a query writes most characters as three. */
const MAX_HEADERS = 256 * 1024;
/** Bytes of what is posted. */
const MAX_BODY = 256 * 1024;

/**
 * Serves the inspector on 127.0.0.1.
 *
 * @throws {Error} of `node:net`: the port is taken (`EADDRINUSE`), or needs a privilege (`EACCES`).
 */
export async function startInspector(options: InspectorOptions): Promise<InspectorServer> {
  const files = readPage(options.page);
  const token = newToken();
  const closed = new AbortController();
  const read = new RunReader(options.runner);
  const scope = options.resource ?? EVERY_RESOURCE;
  let handler: Handler | null = null;
  const server = createServer({ maxHeaderSize: MAX_HEADERS }, (request, response) => {
    void withResource(scope, () => handler?.handle(request, response));
  });
  server.listen(options.port, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { runner } = options;
  const routes = newRoutes({ ...options, read });
  const access = new Access(token, port);
  handler = new Handler({
    ...{ access, token, files, routes },
    live: (threadId, request, response) =>
      new LiveStream({ runner, read, threadId, signal: closed.signal }, request, response).run(),
  });
  return {
    url: `http://127.0.0.1:${port}/${token}/`,
    urlForOnce: () => `http://127.0.0.1:${port}/${access.newTokenForOnce()}`,
    close: async () => {
      closed.abort();
      read.close();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

interface HandlerOptions {
  readonly access: Access;
  readonly token: string;
  readonly files: ReadonlyMap<string, PageFile>;
  readonly routes: Routes;
  readonly live: (
    threadId: string,
    request: IncomingMessage,
    response: ServerResponse,
  ) => Promise<void>;
}

class Handler {
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const refusal = refusalOf(error);
      sendJson(response, refusal.status, bodyOf(refusal));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { access, token, files, routes, live } = this.#options;
    if (access.redeems(request)) {
      response.writeHead(303, { ...SAFE_HEADERS, location: `/${token}/` }).end();
      return;
    }
    const { path, query } = access.admit(request);
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "");
    if (path === "") {
      const search = query.size === 0 ? "" : `?${query}`;
      response.writeHead(308, { ...SAFE_HEADERS, location: `/${token}/${search}` }).end();
      return;
    }
    const file = files.get(path);
    if (file !== undefined) {
      expectMethod(method, ["GET"]);
      response.writeHead(200, {
        ...SAFE_HEADERS,
        "content-type": file.type,
        "content-length": file.content.length,
      });
      response.end(request.method === "HEAD" ? undefined : file.content);
      return;
    }
    const parameters = new Parameters(query);
    if (path === "/api/live") {
      // A HEAD would get no event and no end.
      expectMethod(request.method ?? "", ["GET"]);
      return live(parameters.id("thread"), request, response);
    }
    const known = (["GET", "POST"] as const).filter((name) => `${name} ${path.slice(1)}` in routes);
    if (known.length === 0) throw new Refusal(404, "NOT_FOUND", "There is nothing at this path.");
    expectMethod(method, known);
    const route = routes[`${method} ${path.slice(1)}` as keyof Routes];
    const body = method === "POST" ? await readBody(request) : null;
    sendJson(response, 200, await route(parameters, body));
  }
}

function expectMethod(method: string, known: readonly string[]): void {
  if (known.includes(method)) return;
  throw new Refusal(405, "METHOD_NOT_ALLOWED", `expected the method ${known.join(" or ")}`);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw invalid("expected content of type application/json");
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY) throw new Refusal(413, "TOO_LARGE", "The body is too long.");
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw invalid("expected the body to be JSON");
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  const content = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    ...SAFE_HEADERS,
    "content-type": "application/json; charset=utf-8",
    "content-length": content.length,
  });
  response.end(content);
}
