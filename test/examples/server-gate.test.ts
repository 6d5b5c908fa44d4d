import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingHttpHeaders, type RequestOptions, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inputOf } from "../support/scripted-agent.ts";
import { startServer } from "./server-process.ts";

const MIB = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const lengthOf = (text: string) => ({ "content-length": String(Buffer.byteLength(text)) });

/** One request with exactly these headers, which `fetch` would not send. */
async function ask(options: RequestOptions, text = ""): Promise<Answer> {
  const asked = request({ method: "POST", ...options });
  // In one write: a server that refuses a body may close the connection before the next one.
  asked.end(text);
  const [message] = await once(asked, "response");
  // The body that it has announced is never sent.
  asked.on("error", () => undefined);
  let body = "";
  message.setEncoding("utf8");
  for await (const text of message) body += text;
  return { status: message.statusCode, headers: message.headers, body };
}

describe("examples/server.ts", () => {
  const directory = mkdtempSync(join(tmpdir(), "examples-gate-"));
  let killServer: (() => Promise<void>) | undefined;
  let port: number;
  let path: string;
  let runs = 0;
  const body = () => JSON.stringify(inputOf("t", `r${runs++}`));
  const own = () => ({ host: `127.0.0.1:${port}` });
  const run = (headers: Record<string, string>, text = body()) =>
    ask({ host: "127.0.0.1", port, path, headers: { ...lengthOf(text), ...headers } }, text);

  beforeAll(async () => {
    const env = {
      DB_PATH: join(directory, "gate.db"),
      AGENT_PACE_MS: "0",
      ALLOWED_HOSTS: "chat.example.com",
    };
    const { curl } = await startServer(env, (kill) => {
      killServer = kill;
    });
    const url = new URL(/http:\S+/.exec(curl.run)?.[0] ?? "");
    port = Number(url.port);
    path = url.pathname;
  });
  afterAll(async () => {
    await killServer?.();
    rmSync(directory, { recursive: true, force: true });
  });

  test.each(["127.0.0.1", "localhost", "[::1]"])(
    "answers a program on this machine that uses the host name %s",
    async (name) => {
      const answer = await run({ ...JSON_TYPE, host: `${name}:${port}` });
      expect(answer.status).toBe(200);
      expect(answer.body).toContain("RUN_FINISHED");
    },
  );

  test("answers probes at /healthz, whatever host they name", async () => {
    for (const host of [`127.0.0.1:${port}`, "10.0.0.7:80"]) {
      const headers = { host };
      const answer = await ask({
        host: "127.0.0.1",
        port,
        path: "/healthz",
        method: "GET",
        headers,
      });
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ status: "ok", code: null });
    }
  });

  test("answers a page of this machine on another port, and a page of an allowed host", async () => {
    for (const origin of ["http://localhost:3000", "https://chat.example.com"]) {
      const answer = await run({ ...JSON_TYPE, ...own(), origin });
      expect(answer.status).toBe(200);
      expect(answer.headers["access-control-allow-origin"]).toBe(origin);
    }
    const proxied = await run({ ...JSON_TYPE, host: "chat.example.com" });
    expect(proxied.status).toBe(200);
  });

  test.each(["https://evil.example", "null", "http://localhost.evil.example"])(
    "refuses a page of %s, whatever it sends",
    async (origin) => {
      for (const headers of [JSON_TYPE, { "content-type": "text/plain" }, {}]) {
        expect((await run({ ...headers, ...own(), origin })).status).toBe(403);
      }
      const preflight = { ...own(), origin, "access-control-request-method": "POST" };
      const asked = await ask({
        host: "127.0.0.1",
        port,
        path,
        method: "OPTIONS",
        headers: preflight,
      });
      expect(asked.headers["access-control-allow-origin"]).toBeUndefined();
    },
  );

  test.each(["evil.example", "127.0.0.1.evil.example", "localhost:1", "localhost"])(
    "refuses a request for the host %s",
    async (host) => {
      expect((await run({ ...JSON_TYPE, host })).status).toBe(403);
    },
  );

  test.each(["text/plain", "application/x-www-form-urlencoded", ""])(
    "refuses a body of type %j, which any page may send without a preflight",
    async (type) => {
      const headers = type === "" ? own() : { ...own(), "content-type": type };
      expect((await run(headers)).status).toBe(415);
    },
  );

  test("refuses a body of more than 4 MiB, or without a content-length", async () => {
    const announced = { ...JSON_TYPE, ...own(), "content-length": String(300 * MIB) };
    expect((await run(announced, "{")).status).toBe(413);
    const headers = { ...JSON_TYPE, ...own(), "transfer-encoding": "chunked" };
    const chunked = await ask({ host: "127.0.0.1", port, path, headers }, "{}");
    expect(chunked.status).toBe(411);
    // The server still answers afterwards.
    expect((await run({ ...JSON_TYPE, ...own() })).status).toBe(200);
  });

  test("executes no agent for a refused request", async () => {
    await run({ ...JSON_TYPE, ...own() });
    const before = await connect();
    expect(before).toBeGreaterThan(1);
    await run({ "content-type": "text/plain", ...own(), origin: "https://evil.example" });
    expect(await connect()).toBe(before);
  });

  async function connect(): Promise<number> {
    const connecting = { host: "127.0.0.1", port, path: path.replace(/run$/, "connect") };
    const text = body();
    const headers = { ...JSON_TYPE, ...own(), ...lengthOf(text) };
    const answer = await ask({ ...connecting, headers }, text);
    return answer.body.split("RUN_STARTED").length;
  }
});
