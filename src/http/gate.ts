import { describeValue } from "../protocol/describe-value.ts";
import { isLogger, type Logger, STDERR_LOGGER } from "../protocol/logger.ts";
import { expectNoOther } from "../protocol/no-such-option.ts";
import { withResource } from "../runner/resource.ts";
import type { Threads } from "../runner/threads.ts";
import { guardLogger } from "../telemetry/guard-logger.ts";
import { MAX_CHANGE_BYTES, parseJson, type RequestBody } from "./body.ts";
import { mayBeEnvelope, readEnvelope } from "./envelope.ts";
import { type Identify, identified } from "./identify.ts";
import { Origins } from "./origins.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { isThreadRoute, pathBelow, routeOf } from "./route.ts";
import { answerThreads, type ThreadRequest } from "./thread-routes.ts";

export interface WithThreadsOptions<Rest extends readonly unknown[] = readonly []> {
  /** A `SqliteAgentRunner`, or any runner with `threads`: the one that the runtime has. */
  readonly runner: { readonly threads: Threads };
  /** Says whose request it is. There is no default: without it, no route is open. */
  readonly identify: Identify<Rest>;
  /**
   * The `basePath` of the runtime's handler. Requests for other paths are none of the runtime's: they get
   * 404, or go to the next handler of Express. Default: paths are read from their end, as the runtime
   * does without a `basePath`.
   */
  readonly basePath?: string | undefined;
  /**
   * Origins of other servers whose pages may call this one, such as `https://app.example.com`. Default:
   * pages of this server's own origin alone.
   */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Gets what clients are not told. Default: warnings and errors on stderr. */
  readonly logger?: Logger | undefined;
}

const OPTIONS = ["runner", "identify", "basePath", "allowedOrigins", "logger"];

/** What becomes of a request. */
export type Entry =
  | { readonly kind: "outside" }
  | { readonly kind: "answered"; readonly response: Response }
  | {
      readonly kind: "forwarded";
      /** Calls the runtime's handler on behalf of whoever sent the request. */
      readonly call: <T>(handler: () => T) => T;
      /** Whether the handler tells clients what it can do. */
      readonly isInfo: boolean;
    };

/** Stands before the runtime: lets in who is known, and answers requests for threads itself. */
export class Gate<Rest extends readonly unknown[]> {
  readonly #threads: Threads;
  readonly #identify: Identify<Rest>;
  readonly #basePath: string | undefined;
  readonly #origins: Origins;
  readonly #logger: Logger;
  #hasWarned = false;

  /** @throws {TypeError} an option is wrong. */
  constructor(options: WithThreadsOptions<Rest>) {
    const {
      runner,
      identify,
      basePath,
      allowedOrigins,
      logger = STDERR_LOGGER,
      ...unknown
    } = options ?? {};
    expectNoOther("withThreads", unknown, OPTIONS);
    if (typeof runner?.threads?.list !== "function") {
      throw new TypeError(`runner: expected a runner with threads, got ${describeValue(runner)}`);
    }
    if (typeof identify !== "function") {
      throw new TypeError(
        `identify: expected a function that says whose a request is, got ${describeValue(identify)}`,
      );
    }
    if (basePath !== undefined && !(typeof basePath === "string" && basePath.startsWith("/"))) {
      throw new TypeError(
        `basePath: expected a path that begins with "/", got ${describeValue(basePath)}`,
      );
    }
    if (!isLogger(logger)) {
      throw new TypeError("logger: expected an object with the methods debug, info, warn, error");
    }
    this.#threads = runner.threads;
    this.#identify = identify;
    this.#basePath = basePath;
    this.#origins = new Origins(allowedOrigins);
    this.#logger = guardLogger(logger);
  }

  async enter(request: Request, body: RequestBody, rest: Rest): Promise<Entry> {
    const url = new URL(request.url);
    const path = pathBelow(url.pathname, this.#basePath);
    if (path === null) return { kind: "outside" };
    // A browser asks without cookies whether it may ask: there is nobody to identify.
    if (isPreflight(request))
      return { kind: "forwarded", call: (handler) => handler(), isInfo: false };
    try {
      return await this.#enter(request, path, url.searchParams, body, rest);
    } catch (error) {
      return this.#answered(this.#refused(error), request);
    }
  }

  async #enter(
    request: Request,
    path: string,
    query: URLSearchParams,
    body: RequestBody,
    rest: Rest,
  ): Promise<Entry> {
    const { method } = request;
    if (!this.#origins.admits(request)) throw this.#originRefused(request);
    const route = routeOf(method, path);
    // The feed has the events of all threads, whosever they are.
    if (route.name === "debug events") throw notFound();
    const identity = await identified(this.#identify, request, rest);
    if (identity instanceof Response) return this.#answered(identity.clone(), request);

    const call = <T>(handler: () => T): T => withResource(identity.resourceId, handler);
    const answer = async (wanted: ThreadRequest): Promise<Entry> => {
      const response = await call(() => answerThreads(this.#threads, wanted));
      response.headers.set("cache-control", "no-store");
      return this.#answered(response, request);
    };
    if (isThreadRoute(route)) {
      const json = async () => parseJson(await body.text(MAX_CHANGE_BYTES));
      return answer({ route, method, query, body: json });
    }
    if (route.name === "other" && mayBeEnvelope(request)) {
      const envelope = readEnvelope(await body.text(Number.POSITIVE_INFINITY));
      if (envelope.kind === "threads") return answer(envelope.request);
      return { kind: "forwarded", call, isInfo: envelope.kind === "info" };
    }
    return { kind: "forwarded", call, isInfo: route.name === "info" };
  }

  /** Logs that an answer could not be sent whole. */
  reportFailure(err: unknown): void {
    this.#logger.error({ err }, "an answer could not be sent whole");
  }

  #answered(response: Response, request: Request): Entry {
    return { kind: "answered", response: this.#origins.share(response, request) };
  }

  #refused(error: unknown): Response {
    const refusal = refusalOf(error);
    // A server that shuts down is still asked things: that is no failure.
    if (refusal.status >= 500 && refusal.code !== "RUNNER_CLOSED") {
      const err = error instanceof Refusal ? error.cause : error;
      this.#logger.error({ err, code: refusal.code }, refusal.message);
    }
    return refusal.toResponse();
  }

  #originRefused(request: Request): Refusal {
    const origin = request.headers.get("origin");
    const message = `a page of the origin ${origin} may not change anything here`;
    if (!this.#hasWarned) {
      this.#hasWarned = true;
      this.#logger.warn({ origin }, `${message}: if it is yours, name it in allowedOrigins`);
    }
    return new Refusal(403, "ORIGIN_NOT_ALLOWED", message);
  }
}

/** The answer to a request for a path that is not the runtime's. */
export function notFound(): Refusal {
  return new Refusal(404, "NOT_FOUND", "there is no such route");
}

function isPreflight(request: Request): boolean {
  return request.method === "OPTIONS" && request.headers.has("access-control-request-method");
}
