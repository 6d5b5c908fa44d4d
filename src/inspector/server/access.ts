import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Refusal } from "./refusal.ts";

/**
 * Headers of every answer. The page has no script and no style of its own text, and gets nothing from
 * elsewhere. `data:` is for images in messages.
 */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Milliseconds for which a link that works once is kept: a browser may have to start. */
const KEEP_LINK_MS = 60_000;

/** A random text that nobody guesses, for a path. */
export const newToken = () => randomBytes(24).toString("base64url");

const hashOf = (text: string) => createHash("sha256").update(text).digest();

function forbidden(message: string): Refusal {
  return new Refusal(403, "FORBIDDEN", message);
}

/**
 * Lets in whoever has the token, from the page of this server or from no page.
 *
 * The token is the first step of the path. A cookie would go to every other server on this machine, whatever its
 * port. The Host is checked so that no name of another site leads here (DNS rebinding), and the Origin so that no
 * other page reads or acts, should it ever learn the token.
 */
export class Access {
  readonly #token: Buffer;
  readonly #hosts: ReadonlySet<string>;
  /** Hashes of the tokens that lead to the page once, and how long they are kept, of `performance.now()`. */
  readonly #once = new Map<string, number>();

  constructor(token: string, port: number) {
    this.#token = hashOf(token);
    this.#hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`]);
  }

  /**
   * A token that leads to the page once. Other users of this machine see the arguments of its processes, so a link that
   * is handed to a browser must not be what lets them in.
   */
  newTokenForOnce(): string {
    const token = newToken();
    this.#once.set(hashOf(token).toString("hex"), performance.now() + KEEP_LINK_MS);
    return token;
  }

  /** Whether a request has such a token, which then is used up. */
  redeems({ headers, method, url = "" }: IncomingMessage): boolean {
    if (method !== "GET" || !this.#hosts.has(headers.host ?? "")) return false;
    const key = hashOf(url.slice(1)).toString("hex");
    const until = this.#once.get(key) ?? 0;
    this.#once.delete(key);
    return performance.now() < until;
  }

  /**
   * The path of a request behind its token, which begins with "/" or is empty, and the query.
   *
   * @throws {Refusal}
   */
  admit(request: IncomingMessage): { readonly path: string; readonly query: URLSearchParams } {
    const { host = "", origin } = request.headers;
    if (!this.#hosts.has(host)) throw forbidden("This is no name of the inspector.");
    const [target = "", search = ""] = splitAt(request.url ?? "", "?");
    const [token = "", rest = ""] = splitAt(target.slice(1), "/");
    // Hashes have one length, whatever was sent, and are compared in constant time.
    if (!timingSafeEqual(hashOf(token), this.#token)) {
      throw forbidden("The link is wrong, or of an earlier start: use the one that was printed.");
    }
    const isForeign = origin !== undefined && origin !== `http://${host}`;
    if (isForeign || !isFromHere(request)) throw forbidden("The request comes from another page.");
    // No other page sends JSON without asking, and none may.
    if (request.method === "POST" && origin === undefined) {
      throw forbidden("The request names no origin.");
    }
    const path = target.length > token.length + 1 ? `/${rest}` : "";
    return { path, query: new URLSearchParams(search) };
  }
}

/** What browsers say of where a request comes from. A link on another page, or in a mail, may lead to the inspector. */
function isFromHere({ headers, method }: IncomingMessage): boolean {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return true;
  const isVisit =
    headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document";
  return isVisit && method === "GET";
}

/** The text before a separator, and the text behind it. */
function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
