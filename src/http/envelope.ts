import { isFields } from "../events/view/message.ts";
import { isThreadRoute, routeOf } from "./route.ts";
import type { ThreadRequest } from "./thread-routes.ts";

/**
 * What the body of a request asks for, where the runtime has one route for all: the method stands in the
 * body, and a request for a resource is wrapped in it, with its path below the runtime and its method.
 */
export type Envelope =
  | { readonly kind: "info" }
  | { readonly kind: "threads"; readonly request: ThreadRequest }
  | { readonly kind: "other" };

const OTHER: Envelope = { kind: "other" };
/** Stands for the runtime's address, so that a path can be read as a part of it. */
const RUNTIME = "http://runtime.invalid";

/** Whether a request may hold an envelope. */
export function mayBeEnvelope(request: Request): boolean {
  const type = request.headers.get("content-type") ?? "";
  return request.method === "POST" && type.includes("application/json");
}

export function readEnvelope(json: string): Envelope {
  let envelope: unknown;
  try {
    envelope = JSON.parse(json);
  } catch {
    return OTHER;
  }
  if (!isFields(envelope)) return OTHER;
  if (envelope.method === "info") return { kind: "info" };
  if (envelope.method !== "resource/request" || !isFields(envelope.params)) return OTHER;
  const { path, httpMethod } = envelope.params;
  if (typeof path !== "string" || typeof httpMethod !== "string") return OTHER;
  if (!path.startsWith("/") || !URL.canParse(path, RUNTIME)) return OTHER;
  const url = new URL(path, RUNTIME);
  const method = httpMethod.toUpperCase();
  const route = routeOf(method, url.pathname);
  if (url.origin !== RUNTIME || !isThreadRoute(route)) return OTHER;
  const { body } = envelope;
  return {
    kind: "threads",
    request: { route, method, query: url.searchParams, body: async () => body },
  };
}
