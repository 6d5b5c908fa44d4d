import { describeValue } from "../protocol/describe-value.ts";
import { bodyOf } from "./body.ts";
import { Gate, notFound, type WithThreadsOptions } from "./gate.ts";
import { withThreadEndpoints } from "./runtime-info.ts";

/** A handler of the Fetch API. What comes after the request is the framework's. */
export type FetchHandler<Rest extends readonly unknown[] = readonly []> = (
  request: Request,
  ...rest: Rest
) => Response | Promise<Response>;

/**
 * Gives CopilotKit's handler users and their threads.
 *
 * Each request is made on behalf of the resource that `identify` names: the runs, replays and stops of
 * the handler, and the routes of threads, which this function serves itself (`GET /threads` and so on,
 * for `useThreads` of `@copilotkit/react-core`). Another's thread is unknown to all of them.
 *
 * A request that changes something is answered with 403 if it comes from a page of another origin. All
 * refusals are JSON: `{ error, code }`. See `docs/threads.md` for the codes.
 *
 * @throws {TypeError} an option is wrong.
 */
export function withThreads<Rest extends readonly unknown[] = readonly []>(
  handler: FetchHandler<Rest>,
  options: WithThreadsOptions<Rest>,
): (request: Request, ...rest: Rest) => Promise<Response> {
  if (typeof handler !== "function") {
    throw new TypeError(`withThreads: expected a handler, got ${describeValue(handler)}`);
  }
  const gate = new Gate(options);
  return async (request, ...rest) => {
    const entry = await gate.enter(request, bodyOf(request), rest);
    switch (entry.kind) {
      case "outside":
        return notFound().toResponse();
      case "answered":
        return entry.response;
      case "forwarded": {
        const response = await entry.call(() => handler(request, ...rest));
        return entry.isInfo ? infoWithThreads(response) : response;
      }
    }
  };
}

async function infoWithThreads(response: Response): Promise<Response> {
  const { status, statusText } = response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const json = withThreadEndpoints(await response.text());
  return new Response(json, { status, statusText, headers });
}
