import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

const LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/**
 * Lets through what this machine's own programs and pages ask. A server on localhost is reached by
 * every page of every site that its user opens: a page may send a form or plain text to any address
 * without asking (so a body has to be JSON, which it must ask for), and may have its own name point
 * to 127.0.0.1 (so the name that was asked for has to be one of ours).
 */
export class Gate {
  readonly #names: ReadonlySet<string>;

  /** `others`: further host names, of a proxy before this server for example. */
  constructor(others: readonly string[]) {
    this.#names = new Set([...LOCAL_NAMES, ...others]);
  }

  /** Whether pages of `origin` may call, on whatever port they are served. */
  allowsOrigin(origin: string): boolean {
    return this.#names.has(URL.parse(origin)?.hostname ?? "");
  }

  /** `listener` behind the gate: it sees no request that is refused, and no body that is too large. */
  guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const refusal = this.#refusal(request);
      if (refusal !== null) return refuse(response, ...refusal);
      limitBody(request, response);
      return listener(request, response);
    };
  }

  #refusal({ headers, socket }: IncomingMessage): [status: number, reason: string] | null {
    const host = URL.parse(`http://${headers.host}`);
    const isOurs = host !== null && this.#names.has(host.hostname);
    const isLocal = LOCAL_NAMES.includes(host?.hostname ?? "");
    // A name of this machine comes with the port that listens here.
    if (!isOurs || (isLocal && Number(host.port || 80) !== socket.localPort)) {
      const name = JSON.stringify(headers.host);
      return [403, `This server does not go by the name ${name}: see ALLOWED_HOSTS in the README.`];
    }
    if (headers.origin !== undefined && !this.allowsOrigin(headers.origin)) {
      return [403, `Pages of ${headers.origin} may not call this server.`];
    }
    const length = Number(headers["content-length"] ?? 0);
    if (length > MAX_BODY_BYTES) return [413, TOO_LARGE];
    const hasBody = length > 0 || headers["transfer-encoding"] !== undefined;
    const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
    return hasBody && type !== "application/json" ? [415, "Send application/json."] : null;
  }
}

const TOO_LARGE = `A body may have ${MAX_BODY_BYTES} bytes.`;

/** For a body that does not say how long it is. */
function limitBody(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) return;
    if (!response.headersSent) refuse(response, 413, TOO_LARGE);
    // Whoever reads the body gets no more of it.
    request.removeAllListeners("data");
    request.resume();
  });
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { "content-type": "text/plain", connection: "close" });
  response.end(`${reason}\n`);
}
