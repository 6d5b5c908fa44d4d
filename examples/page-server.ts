import type { IncomingMessage, ServerResponse } from "node:http";
import { withResource } from "../src/index.ts";
import { LOCAL_NAMES } from "./gate.ts";
import type { SupervisorLink } from "./supervisor/link.ts";
import { newVisitor, visitorOf } from "./visitor.ts";

/** The page loads nothing from elsewhere, and no other page shows it in a frame. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";
const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
} as const;

/** What the page asks once a second. */
export interface ServerStatus {
  readonly pid: number;
  readonly port: number;
  /** Whether a run executes on the thread that the page shows, in whatever process. */
  readonly isRunning: boolean;
}

interface Runner {
  isRunning(request: { readonly threadId: string }): Promise<boolean>;
}

/**
 * Serves the page at `/`, and what only this example has: its three buttons. A server that anybody on
 * this machine may kill is for a demonstration.
 */
export class PageServer {
  readonly #runner: Runner;
  readonly #supervisor: SupervisorLink | null;

  constructor(runner: Runner, supervisor: SupervisorLink | null) {
    this.#runner = runner;
    this.#supervisor = supervisor;
  }

  /** Whether a request is for the page. The others are for the runtime. */
  serves(req: IncomingMessage): boolean {
    return /^\/(?:$|assets\/|demo\/)/.test(pathOf(req).pathname);
  }

  /** Never rejects: Node would end the process. */
  async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      await this.#answer(req, res);
    } catch {
      // The store cannot be read, which the runner has logged. The page asks again.
      if (res.headersSent) res.destroy();
      else text(res, 503, "Not at the moment.");
    }
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = pathOf(req);
    const call = `${req.method} ${pathname}`;
    if (call === "GET /demo/status") {
      return json(res, 200, await this.#status(req, searchParams.get("thread")));
    }
    if (call === "POST /demo/kill" || call === "POST /demo/other-server") {
      if (!isOwnPage(req)) return text(res, 403, "Only the page of this server may do that.");
      if (this.#supervisor === null) return text(res, 503, "Only under `npm start`.");
      // Nobody is left to answer.
      if (pathname === "/demo/kill") return this.#supervisor.kill();
      const port = await this.#supervisor.otherServer();
      return port === null ? text(res, 503, "It did not start.") : json(res, 200, { port });
    }
    if (req.method !== "GET" && req.method !== "HEAD") return text(res, 404, "Not found.");
    return this.#file(req, res, pathname === "/" ? "/index.html" : pathname);
  }

  async #status(req: IncomingMessage, threadId: string | null): Promise<ServerStatus> {
    const visitor = visitorOf(req);
    const isRunning =
      visitor !== null &&
      threadId !== null &&
      (await withResource(visitor, () => this.#runner.isRunning({ threadId })));
    return { pid: process.pid, port: req.socket.localPort ?? 0, isRunning };
  }

  async #file(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    if (this.#supervisor === null) return text(res, 404, "`npm start` serves a page here.");
    try {
      // A browser that is faster than the build waits for it.
      const file = (await this.#supervisor.page)[path];
      if (file === undefined) return text(res, 404, "Not found.");
      const isPage = path === "/index.html";
      res.writeHead(200, {
        ...HEADERS,
        "content-type": file.type,
        "cache-control": isPage ? "no-store" : "max-age=31536000, immutable",
        ...(isPage && visitorOf(req) === null ? { "set-cookie": newVisitor() } : {}),
      });
      res.end(req.method === "HEAD" ? undefined : file.body);
    } catch (error) {
      text(res, 500, `The page could not be built: ${error}`);
    }
  }
}

function pathOf({ url }: IncomingMessage): URL {
  return URL.parse(url ?? "", "http://page") ?? new URL("http://page/unreadable");
}

/**
 * Whether the page of this very server asks, on this machine. Browsers name the page that sends a POST,
 * and the gate has checked the host name.
 */
function isOwnPage({ headers }: IncomingMessage): boolean {
  const origin = URL.parse(headers.origin ?? "");
  return (
    origin !== null &&
    LOCAL_NAMES.includes(origin.hostname) &&
    origin.origin === `http://${headers.host}`
  );
}

function json(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  res.end(JSON.stringify(body));
}

function text(res: ServerResponse, status: number, body: string): void {
  res.writeHead(status, { ...HEADERS, "content-type": "text/plain", "cache-control": "no-store" });
  res.end(`${body}\n`);
}
