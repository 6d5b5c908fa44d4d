import type { Threads } from "../runner/threads.ts";
import type { ThreadSummary } from "../store/thread-store.ts";
import { eventsBody } from "./events-body.ts";
import { Refusal, threadNotFound } from "./refusal.ts";
import type { ThreadRoute } from "./route.ts";
import { messageRecord, threadRecord } from "./thread-shapes.ts";

export interface ThreadRequest {
  readonly route: ThreadRoute;
  readonly method: string;
  readonly query: URLSearchParams;
  /** The body as JSON gives it. Throws a `Refusal`. */
  readonly body: () => Promise<unknown>;
}

/** The methods of each route. */
const METHODS = {
  list: ["GET"],
  clear: ["POST"],
  subscribe: ["POST"],
  thread: ["PATCH", "DELETE"],
  messages: ["GET"],
  events: ["GET"],
  state: ["GET"],
  archive: ["POST"],
} as const satisfies Record<ThreadRoute["name"], readonly string[]>;

/** The most threads of a page. A client that wants more gets them with the next page. */
const MAX_LIMIT = 500;

/**
 * Answers a request for threads in the way of the runtime's own routes. Has to be called within
 * `withResource`: this is what tells one user's threads from another's.
 *
 * Throws a `Refusal`, or what `threads` throws.
 */
export async function answerThreads(threads: Threads, request: ThreadRequest): Promise<Response> {
  const { route, method } = request;
  const allowed: readonly string[] = METHODS[route.name];
  if (!allowed.includes(method)) {
    const message = `expected the method ${allowed.join(" or ")}`;
    throw new Refusal(405, "METHOD_NOT_ALLOWED", message, { allow: allowed.join(", ") });
  }
  switch (route.name) {
    case "list":
      return listThreads(threads, request.query);
    case "clear":
      throw new Refusal(403, "CLEAR_REFUSED", "threads are deleted one by one");
    case "subscribe":
      throw new Refusal(404, "NOT_FOUND", "this server has no realtime list of threads");
    default:
      return answerThread(threads, { ...request, route });
  }
}

interface OneThreadRequest extends ThreadRequest {
  readonly route: Extract<ThreadRoute, { readonly threadId: string }>;
}

async function answerThread(threads: Threads, request: OneThreadRequest): Promise<Response> {
  const { route, method, body } = request;
  const { threadId } = route;
  switch (route.name) {
    case "messages": {
      await find(threads, threadId);
      const messages = await threads.messages(threadId);
      return Response.json({ messages: messages.map(messageRecord) });
    }
    case "state":
      await find(threads, threadId);
      return Response.json({ state: await threads.state(threadId) });
    case "events":
      await find(threads, threadId);
      return new Response(eventsBody(threads.events(threadId)), {
        headers: { "content-type": "application/json" },
      });
    case "archive":
      await threads.archive(threadId);
      return Response.json({ threadId, archived: true });
    case "thread":
      if (method === "DELETE") {
        await threads.delete(threadId);
        return Response.json({ threadId, deleted: true });
      }
      await change(threads, threadId, readChange(await body()));
      return Response.json(threadRecord(await find(threads, threadId)));
  }
}

async function listThreads(threads: Threads, query: URLSearchParams): Promise<Response> {
  const page = await threads.list({
    agentId: query.get("agentId") || undefined,
    archived: query.get("includeArchived") === "true" ? undefined : false,
    limit: readLimit(query.get("limit")),
    cursor: query.get("cursor") || undefined,
  });
  return Response.json({
    threads: page.threads.map(threadRecord),
    nextCursor: page.nextCursor,
  });
}

async function find(threads: Threads, threadId: string): Promise<ThreadSummary> {
  const thread = await threads.get(threadId);
  if (thread === null) throw threadNotFound();
  return thread;
}

interface Change {
  readonly name?: string | null;
  readonly archived?: boolean;
}

async function change(threads: Threads, threadId: string, { name, archived }: Change) {
  if (name !== undefined) await threads.rename(threadId, name);
  if (archived === true) await threads.archive(threadId);
  if (archived === false) await threads.unarchive(threadId);
}

function readChange(body: unknown): Change {
  const { name, archived } = (body ?? {}) as { readonly [Name in keyof Change]: unknown };
  const hasName = name !== undefined;
  const hasArchived = archived !== undefined;
  if (!hasName && !hasArchived) throw invalid("expected name or archived in the body");
  if (hasName && name !== null && !isTitle(name)) {
    throw invalid("expected name to be a non-empty string, or null");
  }
  if (hasArchived && typeof archived !== "boolean") {
    throw invalid("expected archived to be true or false");
  }
  return { ...(hasName ? { name } : {}), ...(hasArchived ? { archived } : {}) };
}

function isTitle(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.isWellFormed();
}

function readLimit(value: string | null): number | undefined {
  if (value === null || value === "") return undefined;
  const limit = /^\d+$/.test(value) ? Number(value) : 0;
  if (limit < 1) throw invalid("expected limit to be a whole number from 1");
  return Math.min(limit, MAX_LIMIT);
}

function invalid(message: string): Refusal {
  return new Refusal(400, "INVALID_REQUEST", message);
}
