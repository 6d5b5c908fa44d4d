import { RunStoreError } from "../protocol/errors.ts";

/**
 * Codes of the HTTP routes, beside those of `RunStoreError`.
 *
 * - `NOT_FOUND`: there is no such route.
 * - `METHOD_NOT_ALLOWED`: the route has no such method.
 * - `INVALID_REQUEST`: a parameter or the body is wrong.
 * - `BODY_TOO_LARGE`: the body is longer than the route takes.
 * - `ORIGIN_NOT_ALLOWED`: a page of another origin asked for a change.
 * - `CLEAR_REFUSED`: a client may not delete all threads at once.
 * - `IDENTIFY_FAILED`: `identify` threw, or returned something else than it should.
 * - `INTERNAL_ERROR`: any other failure.
 */
export type HttpErrorCode =
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "INVALID_REQUEST"
  | "BODY_TOO_LARGE"
  | "ORIGIN_NOT_ALLOWED"
  | "CLEAR_REFUSED"
  | "IDENTIFY_FAILED"
  | "INTERNAL_ERROR";

/** A request that is refused, as the client is told. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: HttpErrorCode | RunStoreError["code"],
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  toResponse(): Response {
    const body = { error: this.message, code: this.code };
    return Response.json(body, { status: this.status, headers: this.headers });
  }
}

/**
 * What a client is told of an error. The message of an error of the server stays on the server: it may
 * name files.
 */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (!(error instanceof RunStoreError)) {
    return new Refusal(500, "INTERNAL_ERROR", "the request failed on the server");
  }
  const { code } = error;
  switch (code) {
    case "THREAD_NOT_FOUND":
      return threadNotFound();
    case "THREAD_ALREADY_RUNNING":
      return new Refusal(409, code, "a run holds the thread");
    case "INVALID_CURSOR":
      return new Refusal(400, code, "the cursor belongs to another list, or is no cursor");
    case "THREADS_UNSUPPORTED":
    case "RESOURCES_UNSUPPORTED":
      return new Refusal(501, code, "the store of this server does not support it");
    case "RUNNER_CLOSED":
      return new Refusal(503, code, "the server is shutting down");
    default:
      return error.retryable
        ? new Refusal(503, code, "the store cannot do it at the moment", { "retry-after": "1" })
        : new Refusal(500, code, "the store failed");
  }
}

/** The same answer for a thread that is unknown and for another's: a client cannot tell them apart. */
export function threadNotFound(): Refusal {
  return new Refusal(404, "THREAD_NOT_FOUND", "there is no such thread");
}
