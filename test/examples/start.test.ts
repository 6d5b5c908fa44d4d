import { once } from "node:events";
import { request } from "node:http";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { ServerStatus } from "../../examples/page-server.ts";
import { SupervisedServer } from "../../examples/supervisor/supervised-server.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { events, type ServedEvent, spawnServer, startServer, textOf } from "./server-process.ts";

const WAIT = { timeout: 60_000, interval: 50 };

/** `npm start`, and what its page asks it. */
async function start(env: Record<string, string> = {}) {
  const started = await startServer(
    { DB_PATH: tempDatabase(), ...env },
    onTestFinished,
    "start.ts",
  );
  const origin = new URL(/http:\S+/.exec(started.curl.run)?.[0] ?? "").origin;
  return { ...started, origin };
}

async function statusOf(origin: string): Promise<ServerStatus> {
  const response = await fetch(`${origin}/demo/status`);
  return (await response.json()) as ServerStatus;
}

/** Presses a button of the page of `origin`. */
function press(origin: string, button: "kill" | "other-server", headers = {}) {
  return fetch(`${origin}/demo/${button}`, { method: "POST", headers: { origin, ...headers } });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("examples/start.ts", () => {
  test("serves a page that loads nothing from elsewhere, and the curl lines of the server", async () => {
    const { origin, curl, output } = await start({ AGENT_PACE_MS: "0" });
    expect(output()).toContain(`Chat in your browser at ${origin}\n`);
    const page = await fetch(origin);
    const html = await page.text();
    expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
    expect(page.headers.get("set-cookie")).toMatch(/HttpOnly; SameSite=Lax$/);
    const assets = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = ""]) => path);
    expect(assets.length).toBeGreaterThan(1);
    for (const path of assets) expect((await fetch(`${origin}${path}`)).status).toBe(200);
    expect((await fetch(`${origin}/assets/..%2f..%2fpackage.json`)).status).toBe(404);

    const seen: ServedEvent[] = [];
    for await (const event of events(curl.run)) seen.push(event);
    expect(seen.at(-1)?.type).toBe("RUN_FINISHED");
  });

  test("starts a killed server again on its port, with its threads", async () => {
    const { origin, curl } = await start();
    const seen: ServedEvent[] = [];
    const { pid } = await statusOf(origin);
    await expect(async () => {
      for await (const event of events(curl.run)) {
        seen.push(event);
        if (event.type === "TEXT_MESSAGE_CONTENT" && textOf(seen).length > 100)
          await press(origin, "kill").catch(() => undefined);
      }
    }).rejects.toThrow("curl");

    const next = await vi.waitFor(() => statusOf(origin), WAIT);
    expect(next.pid).not.toBe(pid);
    const kept: ServedEvent[] = [];
    for await (const event of events(curl.connect)) kept.push(event);
    expect(kept.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
    expect(textOf(kept)).not.toBe("");
    expect(textOf(seen).startsWith(textOf(kept))).toBe(true);
  });

  test("starts a second server on the same threads, once, which is started again too", async () => {
    const { origin, curl } = await start({ AGENT_PACE_MS: "0" });
    for await (const _ of events(curl.run));
    const answers = await Promise.all([
      press(origin, "other-server"),
      press(origin, "other-server"),
    ]);
    const ports = await Promise.all(
      answers.map(async (answer) => ((await answer.json()) as { port: number }).port),
    );
    expect(new Set(ports).size).toBe(1);
    const second = `http://127.0.0.1:${ports[0]}`;
    const here = await statusOf(origin);
    const there = await statusOf(second);
    expect(there.pid).not.toBe(here.pid);
    const seen: ServedEvent[] = [];
    for await (const event of events(curl.connect.replace(origin, second))) seen.push(event);
    expect(textOf(seen)).toContain("demo agent");

    const back = await press(second, "other-server");
    expect(await back.json()).toEqual({ port: Number(new URL(origin).port) });
    await press(second, "kill").catch(() => undefined);
    expect((await vi.waitFor(() => statusOf(second), WAIT)).pid).not.toBe(there.pid);
    expect((await statusOf(origin)).pid).toBe(here.pid);
  });

  test("lets no other page, and no page under another host name, press the buttons", async () => {
    const { origin } = await start({ ALLOWED_HOSTS: "chat.example.com" });
    const { pid } = await statusOf(origin);
    for (const button of ["kill", "other-server"] as const) {
      for (const other of ["https://evil.example", "http://localhost:3000", "null"]) {
        expect((await press(origin, button, { origin: other })).status).toBe(403);
      }
      expect((await fetch(`${origin}/demo/${button}`, { method: "POST" })).status).toBe(403);
      expect((await fetch(`${origin}/demo/${button}`)).status).toBe(404);
      const headers = { host: "chat.example.com", origin: "http://chat.example.com" };
      const asked = request(`${origin}/demo/${button}`, { method: "POST", headers }).end();
      const [response] = await once(asked, "response");
      expect(response.resume().statusCode).toBe(403);
    }
    expect((await statusOf(origin)).pid).toBe(pid);
  });

  test("Ctrl-C lets the run in flight finish, and ends both servers", async () => {
    const { child, curl, exitCode, origin } = await start({ AGENT_PACE_MS: "5" });
    const second = await (await press(origin, "other-server")).json();
    const there = await statusOf(`http://127.0.0.1:${(second as { port: number }).port}`);
    const seen: ServedEvent[] = [];
    for await (const event of events(curl.run)) {
      if (seen.push(event) !== 1) continue;
      child.kill("SIGINT");
    }
    expect(seen.at(-1)?.type).toBe("RUN_FINISHED");
    expect(await exitCode).toBe(0);
    expect(isAlive(there.pid)).toBe(false);
  });

  test("a second press ends everything at once", async () => {
    const { child, curl, exitCode } = await start({ AGENT_PACE_MS: "1000" });
    await expect(async () => {
      for await (const { type } of events(curl.run)) {
        if (type !== "RUN_STARTED") continue;
        child.kill("SIGINT");
        child.stdout?.once("data", () => child.kill("SIGINT"));
      }
    }).rejects.toThrow("curl");
    expect(await exitCode).toBe(1);
  });

  test("its server ends when it is killed itself", async () => {
    const { child, origin } = await start();
    const { pid } = await statusOf(origin);
    child.kill("SIGKILL");
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), WAIT);
  });

  test("ends with the exit code of a server that cannot start", async () => {
    const refused = spawnServer({ PORT: "http" }, onTestFinished, "start.ts");
    expect(await refused.exitCode).toBe(2);
    const { origin } = await start();
    const taken = spawnServer({ PORT: new URL(origin).port }, onTestFinished, "start.ts");
    expect(await taken.exitCode).toBe(1);
    expect(taken.output()).toContain("is in use");
  });
});

test("a supervised server that dies again and again stays dead", async () => {
  vi.stubEnv("DB_PATH", tempDatabase());
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const report = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const ended = Promise.withResolvers<number>();
  const died: string[] = [];
  const server = new SupervisedServer("0", {
    listening: () => process.kill(server.pid ?? 0, "SIGKILL"),
    startOther: () => undefined,
    died: (how) => died.push(how),
    ended: ended.resolve,
  });
  expect(await ended.promise).toBe(1);
  expect(died).toEqual(Array(5).fill("SIGKILL"));
  expect(report.mock.calls.flat().join()).toContain("stays dead");
});
