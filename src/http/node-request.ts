import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { type RequestBody, readAll } from "./body.ts";

/**
 * Node's request as the Fetch API has it, without its body. Its signal fires when the client leaves before
 * it has the whole answer.
 *
 * The URL is put together as the runtime does it: both have to read the same path.
 *
 * @throws {TypeError} the request has a host, a path or a method that the Fetch API does not know.
 */
export function requestOf(req: IncomingMessage, res: ServerResponse): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(req.headers)) {
    // HTTP/2 has the parts of the first line among the headers.
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  const host = req.headers.host ?? req.headers[":authority"] ?? "localhost";
  if (!headers.has("host")) headers.set("host", String(host));
  const scheme = "encrypted" in req.socket && req.socket.encrypted ? "https" : "http";
  const aborted = new AbortController();
  res.once("close", () => {
    if (!res.writableFinished) aborted.abort();
  });
  return new Request(`${scheme}://${host}${req.url ?? "/"}`, {
    method: req.method ?? "GET",
    headers,
    signal: aborted.signal,
  });
}

/** The body of Node's request, which can be read only once. */
export class NodeBody implements RequestBody {
  readonly #req: IncomingMessage;
  #read: Buffer | null = null;

  constructor(req: IncomingMessage) {
    this.#req = req;
  }

  async text(limit: number): Promise<string> {
    const parsed = parsedBody(this.#req);
    if (parsed !== undefined) return parsed;
    // The connection has to stay open for the answer to a body that is too long.
    const chunks = this.#req.iterator({ destroyOnReturn: false });
    this.#read = await readAll(chunks, limit);
    return this.#read.toString("utf8");
  }

  /** The request for the next handler: with its body, if that was read here. */
  get request(): IncomingMessage {
    return this.#read === null ? this.#req : withBody(this.#req, this.#read);
  }
}

/** The body that a body parser of Express has read, as text. */
function parsedBody(req: IncomingMessage & { readonly body?: unknown }): string | undefined {
  const { body } = req;
  if (!req.readableEnded || body === undefined || body === null) return undefined;
  if (typeof body === "string") return body;
  return body instanceof Uint8Array ? Buffer.from(body).toString("utf8") : JSON.stringify(body);
}

/** `req`, as a stream of `body`. */
function withBody(req: IncomingMessage, body: Buffer): IncomingMessage {
  const stream = Readable.from(body.length === 0 ? [] : [body]);
  return new Proxy(req, {
    get(target, name) {
      const owner = name in stream ? stream : target;
      const value: unknown = Reflect.get(owner, name, owner);
      return typeof value === "function" ? value.bind(owner) : value;
    },
  });
}
