import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

export const LOCAL_NAMES: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/**
 * Lets through only requests of programs and pages of this machine. Every page that the user opens, of
 * any site, can reach a server on localhost. A page may send a form or plain text to any address
 * without a preflight, so a body has to be JSON, which needs a preflight. A site may also have its own
 * host name point to 127.0.0.1, so the requested host name has to be a known one.
 */
export class Gate {
  readonly #names: ReadonlySet<string>;

  /** `others`: further host names, for example of a proxy in front of this server. */
  constructor(others: readonly string[]) {
    this.#names = new Set([...LOCAL_NAMES, ...others]);
  }

  /** Whether pages of `origin` may call, on any port. */
  allowsOrigin(origin: string): boolean {
    return this.#names.has(URL.parse(origin)?.hostname ?? "");
  }

  /** Wraps `listener`: it gets no refused request and no body that is too large. */
  guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const refusal = this.#refusal(request);
      if (refusal !== null) return refuse(response, ...refusal);
      return listener(request, response);
    };
  }

  #refusal({ headers, socket }: IncomingMessage): [status: number, reason: string] | null {
    const host = URL.parse(`http://${headers.host}`);
    const isOurs = host !== null && this.#names.has(host.hostname);
    const isLocal = LOCAL_NAMES.includes(host?.hostname ?? "");
    // A host name of this machine has to come with the port of this server.
    if (!isOurs || (isLocal && Number(host.port || 80) !== socket.localPort)) {
      const name = JSON.stringify(headers.host);
      return [403, `This server does not go by the name ${name}: see ALLOWED_HOSTS in the README.`];
    }
    if (headers.origin !== undefined && !this.allowsOrigin(headers.origin)) {
      return [403, `Pages of ${headers.origin} may not call this server.`];
    }
    // Without its length, a body would have to be counted while somebody else reads it.
    if (headers["transfer-encoding"] !== undefined) return [411, "Send a content-length."];
    const length = Number(headers["content-length"] ?? 0);
    if (length > MAX_BODY_BYTES) return [413, `A body may have ${MAX_BODY_BYTES} bytes.`];
    const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
    return length > 0 && type !== "application/json" ? [415, "Send application/json."] : null;
  }
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { "content-type": "text/plain", connection: "close" });
  response.end(`${reason}\n`);
}
