import type { Reply } from "./messages.ts";

/** The first request to a thread that gets its other requests by a port of its own. */
export interface AttachRequest<Port> {
  readonly port: Port;
}

/** A request by the port. The number is the request's own. */
export type PortRequest<Request> = readonly [id: number, request: Request];

/** The answer to the request with that number. */
export type PortReply<Value = unknown> = readonly [id: number, reply: Reply<Value>];
