import { describeValue } from "../protocol/describe-value.ts";
import { isId } from "../protocol/ids.ts";
import { Refusal } from "./refusal.ts";

export interface Identity {
  /** Whose threads the request may see: the id of a user, a team or a tenant, from the login. */
  readonly resourceId: string;
}

/**
 * Says who sent a request. A `Response` is the answer to a request of nobody: 401, or a redirect.
 *
 * Take the resource id from what the server itself can check: a session, a signed token. Never take it from
 * a header, a query or a body as the client sent it.
 */
export type Identify<Rest extends readonly unknown[]> = (
  request: Request,
  ...rest: Rest
) => Identity | Response | Promise<Identity | Response>;

/** @throws {Refusal} `IDENTIFY_FAILED`, whose `cause` is for the log. */
export async function identified<Rest extends readonly unknown[]>(
  identify: Identify<Rest>,
  request: Request,
  rest: Rest,
): Promise<Identity | Response> {
  let answer: unknown;
  try {
    answer = await identify(request, ...rest);
  } catch (error) {
    throw identifyFailed(error);
  }
  if (answer instanceof Response) return answer;
  const { resourceId } = (answer ?? {}) as { readonly resourceId?: unknown };
  if (isId(resourceId)) return { resourceId };
  throw identifyFailed(
    new TypeError(
      "identify: expected { resourceId: a non-empty string of well-formed Unicode } or a Response, got " +
        describeValue(answer === null || answer === undefined ? answer : resourceId),
    ),
  );
}

function identifyFailed(cause: unknown): Refusal {
  const refusal = new Refusal(500, "IDENTIFY_FAILED", "the server could not tell who is asking");
  refusal.cause = cause;
  return refusal;
}
