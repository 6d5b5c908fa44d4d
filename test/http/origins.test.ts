import "../support/leak-guard.ts";
import { describe, expect, it } from "vitest";
import { inputOf } from "../support/scripted-agent.ts";
import { type Mount, startUsersServer } from "../support/users-server.ts";

const mounts: readonly Mount[] = ["fetch handler", "Node listener"];
const PAGE = "https://app.example.com";

const CHANGES = [
  ["POST /agent/default/run", inputOf("thread", "another run")],
  ["POST /agent/default/connect", inputOf("thread", "another run")],
  ["POST /agent/default/stop/thread", undefined],
  ["PATCH /threads/thread", { name: "Plans" }],
  ["POST /threads/thread/archive", {}],
  ["DELETE /threads/thread", {}],
] as const;

describe.each(mounts)("pages of other origins, with a %s", (mount) => {
  it.each([
    ["another origin", { origin: PAGE }],
    ["another port", { origin: "http://app.test:81" }],
    ["an opaque origin", { origin: "null" }],
    ["no URL", { origin: "?" }],
    ["another site by name", { "sec-fetch-site": "cross-site" }],
    ["the same site, another origin", { origin: PAGE, "sec-fetch-site": "same-site" }],
  ])("change nothing: %s", async (_, headers) => {
    const server = await startUsersServer({ mount });
    await server.talk("ada", "thread", "run");
    for (const [call, body] of CHANGES) {
      const response = await server.send("ada", call, { body, headers });
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({ code: "ORIGIN_NOT_ALLOWED" });
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
    }
    expect(await (await server.send("ada", "GET /threads")).json()).toMatchObject({
      threads: [{ id: "thread", name: "text of question-run", archived: false }],
    });
    // The developer is told once, not the attacker's every time.
    expect(server.log.map(({ message }) => message)).toEqual([
      expect.stringContaining("name it in allowedOrigins"),
    ]);
  });

  it.each([
    ["the same origin", (origin: string) => ({ origin })],
    ["the same origin by name", () => ({ "sec-fetch-site": "same-origin" })],
    ["the user's own typing", () => ({ "sec-fetch-site": "none" })],
    ["no browser", () => ({})],
    ["a named origin", () => ({ origin: PAGE, "sec-fetch-site": "cross-site" })],
    [
      "a proxy that changes the host",
      () => ({ origin: "https://elsewhere.example.com", "sec-fetch-site": "same-origin" }),
    ],
  ])("may be allowed, or are none: %s", async (_, headersOf) => {
    const server = await startUsersServer({ mount, threads: { allowedOrigins: [PAGE] } });
    await server.talk("ada", "thread", "run");
    const headers = headersOf(server.origin);
    for (const [call, body] of CHANGES) {
      const response = await server.send("ada", call, { body, headers });
      expect(response.status).toBe(200);
      await response.text();
    }
    expect(await (await server.send("ada", "GET /threads")).json()).toMatchObject({ threads: [] });
    expect(server.log).toEqual([]);
  });

  it("read what the server lets them read", async () => {
    const cors = { origin: [PAGE], credentials: true, allowHeaders: ["content-type"] };
    const threads = { allowedOrigins: [PAGE] };
    const { send, talk } = await startUsersServer({ mount, cors, threads });
    await talk("ada", "thread", "run");
    const headers = { origin: PAGE, "sec-fetch-site": "cross-site" };
    for (const [user, call, status] of [
      ["ada", "GET /info", 200],
      ["ada", "GET /threads", 200],
      ["ada", "GET /threads/thread/events", 200],
      ["ada", "GET /threads/unknown/messages", 404],
      [null, "GET /threads", 401],
    ] as const) {
      const response = await send(user, call, { headers });
      expect(response.status).toBe(status);
      expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
      expect(response.headers.get("access-control-allow-credentials")).toBe("true");
      expect(response.headers.get("vary")?.toLowerCase()).toContain("origin");
      await response.text();
    }
    const other = await send("ada", "GET /threads", {
      headers: { origin: "https://evil.example" },
    });
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
    expect(other.headers.get("vary")?.toLowerCase()).toContain("origin");
    await other.text();
  });

  it("ask before they change something, which needs no login", async () => {
    const cors = { origin: [PAGE], credentials: true, allowHeaders: ["content-type"] };
    const { send } = await startUsersServer({ mount, cors, threads: { allowedOrigins: [PAGE] } });
    const response = await send(null, "OPTIONS /threads/thread", {
      headers: {
        origin: PAGE,
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "content-type",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(response.headers.get("access-control-allow-methods")).toContain("DELETE");
    expect((await send(null, "OPTIONS /threads/thread")).status).toBe(401);
  });
});
