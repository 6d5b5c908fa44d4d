import "../support/leak-guard.ts";
import { describe, expect, it } from "vitest";
import { MOUNTS, startUsersServer, type UsersServer } from "../support/users-server.ts";

const NOT_FOUND = { error: "there is no such thread", code: "THREAD_NOT_FOUND" };

interface List {
  readonly threads: readonly Readonly<Record<string, unknown>>[];
  readonly nextCursor: string | null;
}

async function list({ send }: UsersServer, user: string, query = ""): Promise<List> {
  const response = await send(user, `GET /threads?agentId=default${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as List;
}

interface WrongRequest {
  readonly call: string;
  readonly what: string;
  readonly body?: unknown;
  readonly status: number;
  readonly code: string;
}

const invalid = (call: string, what: string, body?: unknown): WrongRequest => ({
  call,
  what,
  body,
  status: 400,
  code: "INVALID_REQUEST",
});

const WRONG: readonly WrongRequest[] = [
  invalid("GET /threads?limit=0", "too few"),
  invalid("GET /threads?limit=-1", "negative"),
  invalid("GET /threads?limit=two", "no number"),
  { ...invalid("GET /threads?cursor=none%20of%20ours", "no cursor"), code: "INVALID_CURSOR" },
  invalid("PATCH /threads/thread", "no change", {}),
  invalid("PATCH /threads/thread", "an empty name", { name: "" }),
  invalid("PATCH /threads/thread", "a number as name", { name: 7 }),
  invalid("PATCH /threads/thread", "a lone surrogate", { name: "\ud800" }),
  invalid("PATCH /threads/thread", "a wrong second field", { name: "fine", archived: "yes" }),
  invalid("PATCH /threads/thread", "null", "null"),
  invalid("PATCH /threads/thread", "an array", []),
  invalid("PATCH /threads/thread", "no JSON", "no JSON"),
  invalid("PATCH /threads/thread", "no body"),
  {
    call: "PATCH /threads/thread",
    what: "a long body",
    body: { name: "x".repeat(70_000) },
    status: 413,
    code: "BODY_TOO_LARGE",
  },
  { call: "POST /threads/clear", what: "all", body: {}, status: 403, code: "CLEAR_REFUSED" },
  { call: "POST /threads/subscribe", what: "no feed", body: {}, status: 404, code: "NOT_FOUND" },
];

const idsOf = ({ threads }: List) => threads.map(({ id }) => id);

describe.each(MOUNTS)("the routes of threads, with a %s", (mount) => {
  const start = () => startUsersServer({ mount });

  it("list the user's threads, newest first, as the clients of the runtime expect them", async () => {
    const server = await start();
    await server.talk("ada", "first", "run 1");
    await server.talk("ada", "second/ä", "run 2");
    await server.talk("grace", "hers", "run 3");

    const { threads, nextCursor } = await list(server, "ada");

    expect(nextCursor).toBeNull();
    expect(threads.map(({ id, name }) => ({ id, name }))).toEqual([
      { id: "second/ä", name: "text of question-run 2" },
      { id: "first", name: "text of question-run 1" },
    ]);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(threads[0]).toEqual({
      id: "second/ä",
      name: "text of question-run 2",
      agentId: "default",
      organizationId: "",
      createdById: "",
      archived: false,
      createdAt: time,
      updatedAt: time,
      lastRunAt: time,
    });
    expect(idsOf(await list(server, "grace"))).toEqual(["hers"]);
  });

  it("list in pages", async () => {
    const server = await start();
    for (const n of [1, 2, 3]) await server.talk("ada", `thread ${n}`, `run ${n}`);

    const first = await list(server, "ada", "&limit=2");
    expect(idsOf(first)).toEqual(["thread 3", "thread 2"]);
    const cursor = encodeURIComponent(String(first.nextCursor));
    const second = await list(server, "ada", `&limit=2&cursor=${cursor}`);
    expect(second).toMatchObject({ threads: [{ id: "thread 1" }], nextCursor: null });
    expect(idsOf(await list(server, "ada", "&limit=100000"))).toHaveLength(3);
  });

  it("list the threads of one agent, or of all", async () => {
    const server = await start();
    await server.talk("ada", "thread", "run");
    const of = async (query: string) =>
      (await (await server.send("ada", `GET /threads${query}`)).json()) as List;
    expect(idsOf(await of("?agentId=other"))).toEqual([]);
    expect(idsOf(await of("?agentId=default"))).toEqual(["thread"]);
    expect(idsOf(await of(""))).toEqual(["thread"]);
  });

  it("rename, archive, unarchive and delete", async () => {
    const server = await start();
    const { send } = server;
    await server.talk("ada", "a/b", "run 1");
    const path = "/threads/a%2Fb";

    const renamed = await send("ada", `PATCH ${path}`, {
      body: { agentId: "default", name: "Plans" },
    });
    expect(renamed.status).toBe(200);
    expect(await renamed.json()).toMatchObject({ id: "a/b", name: "Plans", archived: false });
    expect(await list(server, "ada")).toMatchObject({ threads: [{ name: "Plans" }] });

    const archived = await send("ada", `POST ${path}/archive`, { body: { agentId: "default" } });
    expect(await archived.json()).toEqual({ threadId: "a/b", archived: true });
    expect(idsOf(await list(server, "ada"))).toEqual([]);
    expect(await list(server, "ada", "&includeArchived=true")).toMatchObject({
      threads: [{ id: "a/b", archived: true }],
    });

    const back = await send("ada", `PATCH ${path}`, {
      body: { agentId: "default", archived: false },
    });
    expect(await back.json()).toMatchObject({ name: "Plans", archived: false });
    expect(idsOf(await list(server, "ada"))).toEqual(["a/b"]);

    const deleted = await send("ada", `DELETE ${path}`, { body: { agentId: "default" } });
    expect(await deleted.json()).toEqual({ threadId: "a/b", deleted: true });
    expect(idsOf(await list(server, "ada", "&includeArchived=true"))).toEqual([]);
  });

  it("give a thread its default title back, and archive by PATCH too", async () => {
    const server = await start();
    await server.talk("ada", "thread", "run 1");
    const patch = async (body: object) =>
      (await server.send("ada", "PATCH /threads/thread", { body })).json();
    await patch({ name: "Plans" });
    expect(await patch({ name: null, archived: true })).toMatchObject({
      name: "text of question-run 1",
      archived: true,
    });
  });

  it("show messages, events and state", async () => {
    const { send, talk } = await start();
    await talk("ada", "thread", "run 1");
    const get = async (part: string) => (await send("ada", `GET /threads/thread/${part}`)).json();

    expect(await get("messages")).toEqual({
      messages: [
        { id: "question-run 1", role: "user", content: "text of question-run 1" },
        { id: "answer-run 1", role: "assistant", content: "answer to run 1" },
      ],
    });
    expect(await get("state")).toEqual({ state: {} });
    expect(await get("events")).toMatchObject({
      events: [
        { type: "RUN_STARTED", runId: "run 1" },
        { type: "TEXT_MESSAGE_START" },
        { type: "TEXT_MESSAGE_CONTENT", delta: "answer to run 1" },
        { type: "TEXT_MESSAGE_END" },
        { type: "RUN_FINISHED" },
      ],
    });
  });
});

describe.each(["fetch handler", "Node listener"] as const)(
  "the routes of threads, with a %s",
  (mount) => {
    const start = () => startUsersServer({ mount });

    it.each([
      "GET /threads/unknown/messages",
      "GET /threads/unknown/events",
      "GET /threads/unknown/state",
      "PATCH /threads/unknown",
      "POST /threads/unknown/archive",
      "DELETE /threads/unknown",
    ])("answer 404 for a thread that is not there: %s", async (call) => {
      const { send } = await start();
      const body = call.startsWith("GET") ? undefined : { name: "x" };
      const response = await send("ada", call, { body });
      expect(response.status).toBe(404);
      expect(await response.json()).toEqual(NOT_FOUND);
    });

    it.each([
      ["POST /threads", "GET"],
      ["DELETE /threads", "GET"],
      ["GET /threads/clear", "POST"],
      ["PUT /threads/thread", "PATCH, DELETE"],
      ["GET /threads/thread", "PATCH, DELETE"],
      ["POST /threads/thread/messages", "GET"],
      ["DELETE /threads/thread/events", "GET"],
      ["GET /threads/thread/archive", "POST"],
    ])("answer 405 for a method that a route does not have: %s", async (call, allowed) => {
      const { send } = await start();
      const response = await send("ada", call);
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe(allowed);
      expect(await response.json()).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
    });

    it.each(WRONG)("refuse a wrong request: $call, $what", async ({ call, body, status, code }) => {
      const { send } = await start();
      const response = await send("ada", call, { body });
      expect(response.status).toBe(status);
      expect(await response.json()).toEqual({ error: expect.any(String), code });
    });

    it("change nothing when a request is refused", async () => {
      const server = await start();
      await server.talk("ada", "thread", "run 1");
      for (const { call, body } of WRONG) await server.send("ada", call, { body });
      expect(await list(server, "ada")).toMatchObject({
        threads: [{ id: "thread", name: "text of question-run 1", archived: false }],
      });
    });
  },
);
