import "../support/leak-guard.ts";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { withThreadsListener } from "../../src/index.ts";
import { openRunner } from "../support/open-runner.ts";
import { finished, inputOf, type Script, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { MOUNTS, startUsersServer } from "../support/users-server.ts";

const ENDPOINTS = { list: true, inspect: true, mutations: true };

describe.each(MOUNTS)("what the runtime answers itself, with a %s", (mount) => {
  it("says in its info that threads can be listed, read and changed", async () => {
    const { send } = await startUsersServer({ mount });
    const response = await send("ada", "GET /info");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("application/json");
    const info = (await response.json()) as Record<string, unknown>;
    expect(info).toMatchObject({ threadEndpoints: ENDPOINTS, agents: { default: {} } });
    // The licence is none of our business.
    expect(info).not.toHaveProperty("licenseStatus");
  });

  it("streams a run as it comes", async () => {
    const next = Promise.withResolvers<void>();
    const script: Script = async function* ({ input }) {
      yield started(input);
      await next.promise;
      yield finished(input);
    };
    const { send } = await startUsersServer({ mount, script });
    const response = await send("ada", "POST /agent/default/run", { body: inputOf("t", "r") });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let shown = "";
    while (!shown.includes("RUN_STARTED")) shown += decoder.decode((await reader.read()).value);
    expect(shown).not.toContain("RUN_FINISHED");
    next.resolve();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      shown += decoder.decode(value);
    }
    expect(shown).toContain("RUN_FINISHED");
  });

  it("leaves a run alone whose client leaves, and shows it to that user alone", async () => {
    const begun = Promise.withResolvers<void>();
    const next = Promise.withResolvers<void>();
    const script: Script = async function* ({ input }) {
      yield started(input);
      begun.resolve();
      await next.promise;
      yield finished(input);
    };
    const { send } = await startUsersServer({ mount, script });
    const leaving = new AbortController();
    const body = inputOf("t", "r");
    const run = await send("ada", "POST /agent/default/run", { body, signal: leaving.signal });
    await begun.promise;
    leaving.abort();
    run.text().catch(() => undefined);
    const connected = send("ada", "POST /agent/default/connect", { body });
    expect(await (await send("grace", "POST /agent/default/connect", { body })).text()).toBe("");
    next.resolve();
    expect(await (await connected).text()).toContain("RUN_FINISHED");
  });

  it("stops a run of the user", async () => {
    const begun = Promise.withResolvers<void>();
    const script: Script = async function* ({ input, aborted }) {
      yield started(input);
      begun.resolve();
      await aborted;
    };
    const { send, talk } = await startUsersServer({ mount, script });
    const run = talk("ada", "t", "r");
    await begun.promise;
    const stop = async (user: string) => (await send(user, "POST /agent/default/stop/t")).json();
    expect(await stop("grace")).toMatchObject({ stopped: false });
    expect(await stop("ada")).toMatchObject({ stopped: true });
    expect(await run).toContain("RUN_FINISHED");
  });

  it("keeps the answers for what is not there", async () => {
    const { send } = await startUsersServer({ mount });
    expect((await send("ada", "GET /no-such-route")).status).toBe(404);
    expect((await send("ada", "POST /no-such-route", { body: { method: 1 } })).status).toBe(404);
    expect((await send("ada", "POST /agent/unknown/run", { body: inputOf("t", "r") })).status).toBe(
      404,
    );
  });
});

describe.each(MOUNTS)("one route for all, with a %s", (mount) => {
  const start = () => startUsersServer({ mount, mode: "single-route" });

  it("serves threads, runs and info", async () => {
    const { send } = await start();
    const call = async (user: string, method: string, rest: object = {}) =>
      send(user, "POST ", { body: { method, ...rest } });
    const resource = (user: string, path: string, httpMethod = "GET", body?: object) =>
      call(user, "resource/request", { params: { path, httpMethod }, body });

    const info = await (await call("ada", "info")).json();
    expect(info).toMatchObject({
      singleRoute: { resourceOperations: true, threadEndpoints: ENDPOINTS },
    });
    const params = { agentId: "default" };
    const run = await call("ada", "agent/run", { params, body: inputOf("a/b", "r") });
    expect(await run.text()).toContain("RUN_FINISHED");
    const connect = await call("grace", "agent/connect", { params, body: inputOf("a/b", "r") });
    expect(await connect.text()).toBe("");

    const listed = await resource("ada", "/threads?agentId=default&limit=1");
    expect(await listed.json()).toMatchObject({ threads: [{ id: "a/b" }], nextCursor: null });
    expect(await (await resource("grace", "/threads")).json()).toMatchObject({ threads: [] });
    const path = "/threads/a%2Fb";
    expect((await resource("grace", path, "PATCH", { name: "mine" })).status).toBe(404);
    expect((await resource("grace", `${path}/messages`)).status).toBe(404);
    const renamed = await resource("ada", path, "PATCH", { name: "Plans" });
    expect(await renamed.json()).toMatchObject({ name: "Plans" });
    expect((await resource("ada", `${path}/archive`, "POST", {})).status).toBe(200);
    expect(await (await resource("ada", `${path}/messages`)).text()).toContain("answer to r");
    expect((await resource("ada", "/threads/clear", "POST", {})).status).toBe(403);
    expect((await resource("ada", "/threads", "PUT")).status).toBe(405);
    expect((await resource("ada", path, "DELETE", {})).status).toBe(200);
    expect((await resource("ada", `${path}/messages`)).status).toBe(404);
  });

  it.each([
    ["no object", "[]"],
    ["no JSON", "no JSON"],
    ["no method", "{}"],
    ["no params", '{"method":"resource/request"}'],
    ["no path", '{"method":"resource/request","params":{"httpMethod":"GET"}}'],
    [
      "another host",
      '{"method":"resource/request","params":{"path":"//x/threads","httpMethod":"GET"}}',
    ],
    ["no route", '{"method":"resource/request","params":{"path":"/x","httpMethod":"GET"}}'],
    [
      "no path of a URL",
      '{"method":"resource/request","params":{"path":"threads","httpMethod":"GET"}}',
    ],
  ])("leaves a wrong envelope to the runtime: %s", async (_, body) => {
    const { send } = await start();
    const response = await send("ada", "POST ", {
      body,
      headers: { "content-type": "application/json" },
    });
    expect([400, 404, 500]).toContain(response.status);
    expect(await response.json()).toHaveProperty("error");
  });

  it("knows nobody who is not logged in", async () => {
    const { send } = await start();
    const params = { path: "/threads", httpMethod: "GET" };
    const body = { method: "resource/request", params };
    expect((await send(null, "POST ", { body })).status).toBe(401);
  });
});

describe("a base path", () => {
  const threads = { basePath: "/api/copilotkit" };

  it.each(MOUNTS)("closes what is not below it: %s", async (mount) => {
    const { send } = await startUsersServer({ mount, threads });
    expect((await send("ada", "GET /threads")).status).toBe(200);
    for (const path of ["/../copilotkitten/threads", "/../../threads", "/../../other/info"]) {
      const response = await send("ada", `GET ${path}`);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: "NOT_FOUND" });
    }
  });

  it("leaves other paths to the next handler of Express, without a login", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const identify = () => new Response(null, { status: 401 });
    const guarded = withThreadsListener(() => {}, { runner, identify, ...threads });
    const server = createServer((req, res) =>
      guarded(req, res, () => res.end("the next handler")),
    ).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await (await fetch(`${url}/login`)).text()).toBe("the next handler");
    expect((await fetch(`${url}/api/copilotkit/info`)).status).toBe(401);
    server.closeAllConnections();
  });
});

describe("a Node server", () => {
  const connected = async () => {
    const { origin } = await startUsersServer({ mount: "Node listener" });
    return new URL(origin);
  };

  const ask = async (options: object): Promise<number> => {
    const asked = httpRequest({ ...(await connected()), ...options }).end();
    const [response] = await once(asked, "response");
    response.resume();
    await once(response, "end");
    return response.statusCode;
  };

  it("survives requests that the Fetch API does not know", async () => {
    const { hostname, port } = await connected();
    const base = { hostname, port, path: "/api/copilotkit/threads" };
    expect(await ask({ ...base, method: "TRACE" })).toBe(400);
    expect(await ask({ ...base, headers: { host: "a b" } })).toBe(400);
  });

  it("survives a client that leaves before anybody knows who it is", async () => {
    const asked = Promise.withResolvers<void>();
    const known = Promise.withResolvers<void>();
    const identify = async () => {
      asked.resolve();
      await known.promise;
      return { resourceId: "one" };
    };
    const server = await startUsersServer({ mount: "Node listener", threads: { identify } });
    const leaving = new AbortController();
    const list = server.send("ada", "GET /threads", { signal: leaving.signal });
    await asked.promise;
    leaving.abort();
    await expect(list).rejects.toThrow();
    known.resolve();
    expect((await server.send("ada", "GET /threads")).status).toBe(200);
    expect(server.log).toEqual([]);
  });

  const large = "x".repeat(200_000);
  const talkative: Script = function* ({ input }) {
    yield started(input);
    for (let n = 0; n < 20; n++) yield { type: "CUSTOM", name: `${n}`, value: large };
    yield finished(input);
  };

  it("survives a client that leaves in the middle of the events", async () => {
    const server = await startUsersServer({ mount: "Node listener", script: talkative });
    await server.talk("ada", "thread", "run");
    const leaving = new AbortController();
    const events = await server.send("ada", "GET /threads/thread/events", {
      signal: leaving.signal,
    });
    const reader = (events.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    leaving.abort();
    await expect(reader.closed).rejects.toThrow();
    const whole = await server.send("ada", "GET /threads/thread/events");
    expect(((await whole.json()) as { events: unknown[] }).events).toHaveLength(22);
    expect(server.log).toEqual([]);
  });

  it("cuts the connection when the events cannot be read to their end, and says so in its log", async () => {
    const server = await startUsersServer({ mount: "Node listener", script: talkative });
    await server.talk("ada", "thread", "run");
    const events = server.runner.threads.events.bind(server.runner.threads);
    server.runner.threads.events = async function* (threadId) {
      let left = 5;
      for await (const event of events(threadId)) {
        if (left-- === 0) throw new Error("the disk is gone");
        yield event;
      }
    };
    const cut = await server.send("ada", "GET /threads/thread/events");
    await expect(cut.text()).rejects.toThrow();
    expect(server.log).toMatchObject([
      { level: "error", fields: { err: { message: "the disk is gone" } } },
    ]);
    expect((await server.send("ada", "GET /threads")).status).toBe(200);
  });
});
