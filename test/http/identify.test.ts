import "../support/leak-guard.ts";
import { CopilotRuntime, createCopilotRuntimeHandler } from "@copilotkit/runtime/v2";
import { describe, expect, it } from "vitest";
import { EVERY_RESOURCE, withResource, withThreads, withThreadsListener } from "../../src/index.ts";
import { ScriptAgent } from "../support/copilot-server.ts";
import { openRunner } from "../support/open-runner.ts";
import { inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { answering, type Mount, startUsersServer } from "../support/users-server.ts";

const mounts: readonly Mount[] = ["fetch handler", "Node listener"];
/** A call of every kind of route. */
const CALLS = [
  "GET /info",
  "POST /agent/default/run",
  "POST /agent/default/connect",
  "POST /agent/default/stop/thread",
  "GET /threads",
  "GET /threads/thread/messages",
  "PATCH /threads/thread",
  "POST /threads/clear",
  "POST ",
  "GET /no-such-route",
] as const;

describe.each(mounts)("identify, with a %s", (mount) => {
  it.each(CALLS)("answers for a user who is not known: %s", async (call) => {
    const { send } = await startUsersServer({ mount });
    const body = call.startsWith("GET") ? undefined : inputOf("thread", "run");
    for (let times = 0; times < 2; times++) {
      const response = await send(null, call, { body });
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({ error: "log in first" });
    }
  });

  it("may answer with the same Response again and again, and with a cookie", async () => {
    const refusal = new Response("who are you?", {
      status: 403,
      headers: [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    });
    const { send } = await startUsersServer({ mount, threads: { identify: () => refusal } });
    for (let times = 0; times < 2; times++) {
      const response = await send("ada", "GET /threads");
      expect(response.status).toBe(403);
      expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
      expect(await response.text()).toBe("who are you?");
    }
  });

  it.each([
    ["throws", () => Promise.reject(new Error("password of the database"))],
    [
      "throws at once",
      () => {
        throw new Error("password of the database");
      },
    ],
    ["returns nothing", () => undefined],
    ["returns null", () => null],
    ["returns an empty id", () => ({ resourceId: "" })],
    ["returns a number", () => ({ resourceId: 7 })],
    ["returns a lone surrogate", () => ({ resourceId: "\ud800" })],
    ["returns the symbol of all resources", () => ({ resourceId: EVERY_RESOURCE })],
  ])("that %s is an error of the server, without details", async (_, identify) => {
    const server = await startUsersServer({
      mount,
      threads: { identify: identify as () => { resourceId: string } },
    });
    const response = await server.send("ada", "GET /threads");
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: "the server could not tell who is asking",
      code: "IDENTIFY_FAILED",
    });
    expect(server.log).toMatchObject([{ level: "error", fields: { code: "IDENTIFY_FAILED" } }]);
  });

  it("is asked once a request", async () => {
    let asked = 0;
    const { talk, send } = await startUsersServer({
      mount,
      threads: {
        identify: async () => {
          asked++;
          return { resourceId: "one" };
        },
      },
    });
    await talk("ada", "thread", "run");
    expect(asked).toBe(1);
    await send("ada", "GET /threads");
    expect(asked).toBe(2);
  });

  it("decides for each request, whatever runs at the same time", async () => {
    const { talk, send } = await startUsersServer({ mount });
    const users = ["ada", "grace"];
    await Promise.all(
      users.flatMap((user) => [1, 2, 3].map((n) => talk(user, `${user} ${n}`, `${user} ${n}`))),
    );
    for (const user of users) {
      const list = (await (await send(user, "GET /threads")).json()) as {
        threads: { id: string }[];
      };
      expect(list.threads.map(({ id }) => id).sort()).toEqual([1, 2, 3].map((n) => `${user} ${n}`));
    }
  });

  it("has precedence over a resource around the server", async () => {
    const { talk, send } = await startUsersServer({ mount });
    await withResource("somebody else", () => talk("ada", "thread", "run"));
    expect(await (await send("ada", "GET /threads")).json()).toMatchObject({
      threads: [{ id: "thread" }],
    });
  });
});

describe("the options", () => {
  const runner = () => openRunner({ dbPath: tempDatabase() });
  const handler = async () => new Response();

  it.each([
    [{ identify: undefined }, /identify: expected a function/],
    [{ identify: "user" }, /identify: expected a function/],
    [{ runner: undefined }, /runner: expected a runner with threads/],
    [{ runner: {} }, /runner: expected a runner with threads/],
    [{ basePath: "api" }, /basePath: expected a path/],
    [{ allowedOrigins: "https://app.example.com" }, /allowedOrigins: expected an array/],
    [{ allowedOrigins: ["*"] }, /allowedOrigins: expected origins like/],
    [{ allowedOrigins: ["https://app.example.com/"] }, /allowedOrigins: expected origins like/],
    [{ allowedOrigins: ["app.example.com"] }, /allowedOrigins: expected origins like/],
    [{ logger: {} }, /logger: expected an object/],
    [{ basepath: "/api" }, /expected one of the options runner, .*, got "basepath"/],
  ])("are checked when the handler is made: %j", (wrong, message) => {
    const options = { runner: runner(), identify: () => ({ resourceId: "x" }), ...wrong };
    expect(() => withThreads(handler, options as never)).toThrow(message);
    expect(() => withThreadsListener(handler, options as never)).toThrow(message);
  });

  it("are required", () => {
    expect(() => withThreads(handler, undefined as never)).toThrow(TypeError);
    expect(() => withThreads(undefined as never, {} as never)).toThrow(TypeError);
    expect(() => withThreadsListener(undefined as never, {} as never)).toThrow(TypeError);
  });
});

describe("what a framework gives its handlers", () => {
  it("reaches identify and the handler", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const runtime = new CopilotRuntime({ runner, agents: { default: new ScriptAgent(answering) } });
    const handler = createCopilotRuntimeHandler({ runtime, basePath: "/api" });
    const contexts: string[] = [];
    const wrapped = withThreads(
      (request, context: { user: string }) => {
        contexts.push(context.user);
        return handler(request);
      },
      { runner, identify: (_request, { user }) => ({ resourceId: user }) },
    );
    const url = "http://app.test/api/agent/default/run";
    const body = JSON.stringify(inputOf("thread", "run"));
    const headers = { "content-type": "application/json" };
    const answer = await wrapped(new Request(url, { method: "POST", body, headers }), {
      user: "ada",
    });
    expect(await answer.text()).toContain("RUN_FINISHED");
    expect(contexts).toEqual(["ada"]);
    const listed = async (user: string) =>
      (await wrapped(new Request("http://app.test/api/threads"), { user })).json();
    expect(await listed("ada")).toMatchObject({ threads: [{ id: "thread" }] });
    expect(await listed("grace")).toEqual({ threads: [], nextCursor: null });
  });
});
