import { describeValue } from "../protocol/describe-value.ts";

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

/**
 * The pages that may change something: those of the server's own origin, and those of `allowed`.
 *
 * A browser sends the cookies of a user with the requests of any page. It also says where the page comes
 * from, in headers that no page can set. Programs other than browsers send neither header, and have no
 * cookies of a user to abuse.
 */
export class Origins {
  readonly #allowed: ReadonlySet<string>;

  /** @throws {TypeError} one of `allowed` is no origin, like `https://app.example.com`. */
  constructor(allowed: readonly string[] = []) {
    if (!Array.isArray(allowed)) {
      throw new TypeError(`allowedOrigins: expected an array, got ${describeValue(allowed)}`);
    }
    for (const origin of allowed) {
      if (!isOrigin(origin)) {
        throw new TypeError(
          `allowedOrigins: expected origins like "https://app.example.com", got ${describeValue(origin)}`,
        );
      }
    }
    this.#allowed = new Set(allowed);
  }

  /** Whether a request may do what it asks for, as far as its origin goes. */
  admits(request: Request): boolean {
    if (SAFE_METHODS.includes(request.method)) return true;
    const { headers } = request;
    const origin = headers.get("origin");
    if (origin !== null && this.#allowed.has(origin)) return true;
    const site = headers.get("sec-fetch-site");
    if (site !== null) return site === "same-origin" || site === "none";
    return origin === null || hostOf(origin) === (headers.get("host") ?? new URL(request.url).host);
  }

  /** Lets a page of an allowed origin read `response`. */
  share(response: Response, request: Request): Response {
    const origin = request.headers.get("origin");
    if (this.#allowed.size === 0) return response;
    const headers = new Headers(response.headers);
    headers.append("vary", "origin");
    if (origin !== null && this.#allowed.has(origin)) {
      headers.set("access-control-allow-origin", origin);
      headers.set("access-control-allow-credentials", "true");
    }
    const { status, statusText } = response;
    return new Response(response.body, { status, statusText, headers });
  }
}

function isOrigin(value: unknown): boolean {
  if (typeof value !== "string" || !URL.canParse(value)) return false;
  return new URL(value).origin === value;
}

/** Null for an opaque origin: a sandboxed frame, a file. */
function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
