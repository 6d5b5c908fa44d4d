/** What a request asks for, by its path and method. */
export type Route =
  | { readonly name: "list" | "clear" | "subscribe" }
  | {
      readonly name: "thread" | "messages" | "events" | "state" | "archive";
      readonly threadId: string;
    }
  | { readonly name: "info" | "debug events" }
  /** Any other route of the runtime, or none. */
  | { readonly name: "other" };

export type ThreadRoute = Exclude<Route, { readonly name: "info" | "debug events" | "other" }>;

const OTHER: Route = { name: "other" };
const AGENT_ACTIONS: readonly unknown[] = ["run", "connect", "suggest"];
const PARTS_OF_THREAD = ["messages", "events", "state", "archive"] as const;

/**
 * Reads a path from its end, as the runtime's router does, so that both take a path for the same route
 * wherever the runtime is mounted. The runtime's own routes come first, in its order.
 *
 * Where the runtime reads a method that its route does not have, a thread may be meant: `DELETE
 * /threads/info` deletes the thread "info".
 */
export function routeOf(method: string, path: string): Route {
  const segments = path.split("/").filter((segment) => segment !== "");
  const [last, second, third, fourth] = segments.reverse();
  const isThreadChange = second === "threads" && (method === "PATCH" || method === "DELETE");
  if (last === "info" && !isThreadChange) return { name: "info" };
  if (last === "cpk-debug-events" && !isThreadChange) return { name: "debug events" };
  if (third === "agent" && AGENT_ACTIONS.includes(last)) return OTHER;
  if (fourth === "agent" && second === "stop") return OTHER;

  if (isThreadChange) return ofThread("thread", last);
  const part = PARTS_OF_THREAD.find((name) => name === last);
  if (third === "threads" && part !== undefined) return ofThread(part, second);
  if (last === "threads") return { name: "list" };
  if (second !== "threads") return OTHER;
  return last === "clear" || last === "subscribe" ? { name: last } : ofThread("thread", last);
}

/** Whether a route is one of the routes of threads. */
export function isThreadRoute(route: Route): route is ThreadRoute {
  return route.name !== "info" && route.name !== "debug events" && route.name !== "other";
}

function ofThread(name: "thread" | (typeof PARTS_OF_THREAD)[number], segment = ""): Route {
  try {
    return { name, threadId: decodeURIComponent(segment) };
  } catch {
    // No id has such a segment.
    return OTHER;
  }
}

/**
 * The path below `basePath`, or null if it is not below it. All of it without a `basePath`.
 */
export function pathBelow(path: string, basePath: string | undefined): string | null {
  if (basePath === undefined) return path;
  const base = basePath.replace(/\/+$/, "");
  if (path !== base && !path.startsWith(`${base}/`)) return null;
  return path.slice(base.length);
}
