import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pathBelow, routeOf } from "../../src/http/route.ts";
import { ROOT } from "../support/build.ts";

interface RuntimeRoute {
  readonly method: string;
  readonly threadId?: string;
}

/** The runtime's own router, which it does not export. */
const ROUTER = "node_modules/@copilotkit/runtime/dist/v2/runtime/core/fetch-router.mjs";
const { matchRoute } = (await import(pathToFileURL(join(ROOT, ROUTER)).href)) as {
  matchRoute(path: string, basePath?: string): RuntimeRoute | null;
};

/** The methods that the runtime's routes of threads take, and the names that we give these routes. */
const THREAD_ROUTES: Readonly<Record<string, readonly [name: string, ...methods: string[]]>> = {
  "threads/list": ["list", "GET"],
  "threads/clear": ["clear", "POST"],
  "threads/subscribe": ["subscribe", "POST"],
  "threads/update": ["thread", "PATCH", "DELETE"],
  "threads/messages": ["messages", "GET"],
  "threads/events": ["events", "GET"],
  "threads/state": ["state", "GET"],
  "threads/archive": ["archive", "POST"],
};

const segment = fc.constantFrom(
  ..."threads agent run connect suggest stop info messages events state archive clear".split(" "),
  ..."subscribe cpk-debug-events memories recall annotate transcribe a a%2Fb %41 %ff".split(" "),
  "",
);
const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join("/")}`);
const method = fc.constantFrom("GET", "POST", "PATCH", "DELETE");

describe("the route of a path", () => {
  it("is that of the runtime's router, for each method that the runtime's route takes", () => {
    fc.assert(
      fc.property(path, method, (path, method) => {
        const theirs = matchRoute(path);
        const ours = routeOf(method, path);
        const [name, ...methods] = THREAD_ROUTES[theirs?.method ?? ""] ?? [];
        if (name !== undefined && methods.includes(method)) {
          expect(ours).toEqual(
            theirs?.threadId === undefined ? { name } : { name, threadId: theirs.threadId },
          );
        } else if (theirs?.method === "info" && method === "GET") {
          expect(ours).toEqual({ name: "info" });
        } else if (theirs?.method === "cpk-debug-events" && method === "GET") {
          expect(ours).toEqual({ name: "debug events" });
        } else if (theirs?.method.startsWith("agent/") === true) {
          expect(ours).toEqual({ name: "other" });
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("is that of a thread for threads that are named like another route", () => {
    for (const threadId of ["info", "clear", "threads", "memories", "cpk-debug-events"]) {
      for (const method of ["PATCH", "DELETE"]) {
        expect(routeOf(method, `/api/threads/${threadId}`)).toEqual({ name: "thread", threadId });
      }
      expect(routeOf("GET", `/api/threads/${threadId}/events`)).toEqual({
        name: "events",
        threadId,
      });
    }
  });
});

describe("the feed of the events of all threads", () => {
  it("is known wherever the runtime's router finds it, also behind the route of an agent", () => {
    for (const path of ["/agent/a/stop", "/agent/a", "/threads", "/threads/a", ""]) {
      expect(matchRoute(`${path}/cpk-debug-events`)).toEqual({ method: "cpk-debug-events" });
      expect(routeOf("GET", `${path}/cpk-debug-events`)).toEqual({ name: "debug events" });
    }
  });
});

describe("the path below a base path", () => {
  it("is that of the runtime's router", () => {
    const basePath = fc.constantFrom("/", "/api", "/api/", "/threads", "/a/b");
    const full = fc.tuple(fc.constantFrom("", "/api", "/apis", "/threads", "/a/b"), path);
    fc.assert(
      fc.property(basePath, full, (basePath, [prefix, path]) => {
        const theirs = matchRoute(prefix + path, basePath);
        const below = pathBelow(prefix + path, basePath);
        expect(below === null ? null : matchRoute(below)).toEqual(theirs);
      }),
      { numRuns: 5000 },
    );
  });
});
