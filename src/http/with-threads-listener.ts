import type { IncomingMessage, ServerResponse } from "node:http";
import { describeValue } from "../protocol/describe-value.ts";
import { Gate, notFound, type WithThreadsOptions } from "./gate.ts";
import { NodeBody, requestOf } from "./node-request.ts";
import { rewriteBody, sendResponse } from "./node-response.ts";
import { Refusal } from "./refusal.ts";
import { withThreadEndpoints } from "./runtime-info.ts";

/** A listener of a Node server, or a handler of Express, which has a `next`. */
export type NodeListener = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => unknown;

/**
 * `withThreads` for a Node server: for the listener of `createCopilotNodeListener`, or the router of
 * `createCopilotExpressHandler`.
 *
 * `identify` gets the request as the Fetch API has it, without its body, and then Node's own request, with
 * what Express has put there: a session, for example.
 *
 * @throws {TypeError} an option is wrong.
 */
export function withThreadsListener<Req extends IncomingMessage = IncomingMessage>(
  listener: NodeListener,
  options: WithThreadsOptions<readonly [req: Req]>,
): (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => Promise<void> {
  if (typeof listener !== "function") {
    throw new TypeError(`withThreadsListener: expected a listener, got ${describeValue(listener)}`);
  }
  const gate = new Gate(options);
  return async (req, res, next) => {
    const send = (response: Response) =>
      sendResponse(res, response, (error) => gate.reportFailure(error));
    let request: Request;
    try {
      request = requestOf(req, res);
    } catch {
      const refusal = new Refusal(400, "INVALID_REQUEST", "the request cannot be read");
      return send(refusal.toResponse());
    }
    const body = new NodeBody(req);
    const entry = await gate.enter(request, body, [req as Req]);
    switch (entry.kind) {
      case "outside":
        if (next !== undefined) return next();
        return send(notFound().toResponse());
      case "answered":
        return send(entry.response);
      case "forwarded":
        if (entry.isInfo) rewriteBody(res, withThreadEndpoints);
        await entry.call(() => listener(body.request, res, next ?? (() => undefined)));
    }
  };
}
