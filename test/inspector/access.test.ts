import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, fileWithThreads } from "../support/cli.ts";
import { Inspector } from "../support/inspector.ts";
import { eventually } from "../support/poll.ts";
import { tempDirectory } from "../support/temp-file.ts";

const codeOf = (text: string) => (JSON.parse(text) as { error: { code: string } }).error.code;

describe("whoever has the printed URL", () => {
  test("gets the page, which has nothing inline and nothing from elsewhere", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    expect(inspector.url.hostname).toBe("127.0.0.1");
    expect(inspector.base).toMatch(/^\/[\w-]{32}\/$/);
    const { status, headers, text } = await inspector.ask(inspector.base);
    expect(status).toBe(200);
    expect(headers["content-type"]).toContain("text/html");
    const named = [...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path]) => path ?? "");
    expect(named.length).toBeGreaterThan(1);
    for (const path of named) {
      expect(path).toMatch(/^\.\/assets\/[\w.-]+$/);
      const asset = await inspector.ask(inspector.base + path.slice(2));
      expect(asset.status).toBe(200);
      expect(asset.headers["content-type"]).toMatch(/javascript|css|svg/);
    }
    expect(text).not.toMatch(/<script(?![^>]*\ssrc=)[^>]*>|<style|\son\w+=/);
    expect((await inspector.ask(inspector.base, { method: "HEAD" })).text).toBe("");
    const { headers: bare, status: moved } = await inspector.ask(
      `${inspector.base.slice(0, -1)}?a=1`,
    );
    expect([moved, bare.location]).toEqual([308, `${inspector.base}?a=1`]);
    const { code, stderr } = await inspector.end();
    expect(code).toBe(0);
    expect(stderr).toContain("Ctrl-C");
  });

  test("gets every answer with headers that keep other pages out", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    const paths = ["", "api/threads", "api/none", "api/live?thread="];
    for (const path of [...paths.map((name) => inspector.base + name), "/", "/x/api/threads"]) {
      const { headers } = await inspector.ask(path);
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["referrer-policy"]).toBe("no-referrer");
      expect(headers["access-control-allow-origin"]).toBeUndefined();
      expect(headers["set-cookie"]).toBeUndefined();
      const policy = headers["content-security-policy"] as string;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
    }
  });
});

describe("nobody else", () => {
  test("gets anything without the token", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    const wrong = inspector.base.replace(/^\/./, (start) => (start === "/A" ? "/B" : "/A"));
    const paths = [
      "/",
      "/api/threads",
      `${wrong}`,
      `${wrong}api/threads`,
      "//api/threads",
      "",
      "*",
    ];
    paths.push(`${inspector.base.slice(0, -2)}/api/threads`, `${inspector.base.slice(0, -1)}x/`);
    paths.push(`/?token=${inspector.base.slice(1, -1)}`, `/x/..${inspector.base}api/threads`);
    for (const path of paths) {
      const { status, text } = await inspector.ask(path);
      expect({ path, status }).toEqual({ path, status: 403 });
      expect(codeOf(text)).toBe("FORBIDDEN");
    }
  });

  test("gets anything by another name of this machine", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    const path = `${inspector.base}api/threads`;
    const { port } = inspector.url;
    expect((await inspector.ask(path, { headers: { host: `localhost:${port}` } })).status).toBe(
      200,
    );
    for (const host of [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1",
      `127.0.0.1:${port}.x`,
    ]) {
      const { status, text } = await inspector.ask(path, { headers: { host } });
      expect({ host, status }).toEqual({ host, status: 403 });
      expect(codeOf(text)).toBe("FORBIDDEN");
    }
  });

  test("gets anything from another page", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    const path = `${inspector.base}api/threads`;
    const { port } = inspector.url;
    const foreign = [
      { origin: "http://evil.example" },
      { origin: "null" },
      { origin: `http://localhost:${port}` },
      { origin: "http://127.0.0.1:1" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
    ];
    for (const headers of foreign) {
      expect((await inspector.ask(path, { headers })).status).toBe(403);
    }
    const own = { origin: inspector.url.origin, "sec-fetch-site": "same-origin" };
    expect((await inspector.ask(path, { headers: own })).status).toBe(200);
    // A link in a mail or in a web terminal.
    const visit = {
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
    };
    expect((await inspector.ask(inspector.base, { headers: visit })).status).toBe(200);
  });

  test("stops a run: a form of another page cannot post", async () => {
    const inspector = await Inspector.start(await fileWithThreads());
    const post = (headers: Record<string, string>, body = '{"thread":"t"}') =>
      inspector.ask(`${inspector.base}api/stop`, { method: "POST", headers, body });
    const json = { "content-type": "application/json" };
    const { origin } = inspector.url;
    expect((await post(json)).status).toBe(403);
    expect((await post({ ...json, origin: "http://evil.example" })).status).toBe(403);
    expect((await post({ origin, "content-type": "text/plain" })).status).toBe(400);
    expect((await post({ origin, ...json }, "{")).status).toBe(400);
    expect((await post({ origin, ...json }, "null")).status).toBe(400);
    expect((await post({ origin, ...json }, '{"thread":""}')).status).toBe(400);
    expect((await post({ origin, ...json }, '{"thread":"t","runId":1}')).status).toBe(400);
    expect((await post({ origin, ...json }, JSON.stringify("x".repeat(300_000)))).status).toBe(413);
    const { status, text } = await post({ origin, ...json });
    expect([status, JSON.parse(text)]).toEqual([200, { isStopped: false }]);
  });
});

test("no path leads out of the page, and only known methods are answered", async () => {
  const inspector = await Inspector.start(await fileWithThreads());
  const paths = [
    "../package.json",
    "..%2fpackage.json",
    "assets/../../package.json",
    "assets/",
    "%",
  ];
  paths.push(
    "assets/..%5c..%5cpackage.json",
    "/etc/passwd",
    "api/",
    "api/constructor",
    "index.html/",
  );
  for (const path of paths) {
    const { status, text } = await inspector.ask(inspector.base + path);
    expect({ path, status }).toEqual({ path, status: 404 });
    expect(codeOf(text)).toBe("NOT_FOUND");
  }
  for (const [method, path] of [
    ["POST", "api/threads"],
    ["GET", "api/stop"],
    ["DELETE", "api/thread"],
    ["PUT", ""],
    ["OPTIONS", "api/stop"],
  ] as const) {
    const headers = { origin: inspector.url.origin };
    const { status, text } = await inspector.ask(inspector.base + path, { method, headers });
    expect({ method, status, code: codeOf(text) }).toEqual({
      method,
      status: 405,
      code: "METHOD_NOT_ALLOWED",
    });
  }
  const live = await inspector.ask(`${inspector.base}api/live?thread=t`, { method: "HEAD" });
  expect(live.status).toBe(405);
});

test("what is no HTTP is refused, and the next request is answered", async () => {
  const inspector = await Inspector.start(await fileWithThreads());
  const socket = connect(Number(inspector.url.port), "127.0.0.1");
  socket.end("nonsense\r\n\r\n");
  await once(socket.resume(), "close");
  expect((await inspector.get("api/threads", {})).threads).toHaveLength(2);
});

test("a port that is taken is said, and --json prints the URL as JSON", async () => {
  const db = await fileWithThreads();
  const inspector = await Inspector.start(db);
  const { port } = inspector.url;
  const { code, stderr } = await cli(["inspect", "--db", db, "--port", port]);
  expect(code).toBe(1);
  expect(stderr).toContain(`port ${port} is taken`);
  expect((await cli(["inspect", "--db", db, "--port", "70000"])).code).toBe(2);
  expect((await cli(["inspect", "--db", `${db}-none`])).code).toBe(3);
  await inspector.end();
});

test.runIf(process.platform === "linux")(
  "--open hands a link to the browser that opens the page once: other users see the arguments of a process",
  async () => {
    const directory = tempDirectory();
    const opened = join(directory, "opened");
    const script = `#!/bin/sh\necho "$@" > ${opened}.part && mv ${opened}.part ${opened}\n`;
    writeFileSync(join(directory, "xdg-open"), script, { mode: 0o755 });
    const env = { PATH: `${directory}:${process.env.PATH}` };
    const inspector = await Inspector.start(await fileWithThreads(), ["--open"], env);
    await eventually(() => existsSync(opened));
    const link = new URL(readFileSync(opened, "utf8"));
    expect(link.origin).toBe(inspector.url.origin);
    expect(link.href).not.toContain(inspector.base.slice(1, -1));
    const elsewhere = { headers: { host: "example.org" } };
    expect((await inspector.ask(link.pathname, elsewhere)).status).toBe(403);
    const { status, headers } = await inspector.ask(link.pathname);
    expect({ status, location: headers.location }).toEqual({
      status: 303,
      location: inspector.base,
    });
    expect((await inspector.ask(link.pathname)).status).toBe(403);
    await inspector.end();
  },
);
