import "../support/leak-guard.ts";
import { text } from "node:stream/consumers";
import { CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotExpressHandler } from "@copilotkit/runtime/v2/express";
import { describe, expect, it } from "vitest";
import { RunStoreError, type RunStoreErrorCode, withThreadsListener } from "../../src/index.ts";
import { ScriptAgent } from "../support/copilot-server.ts";
import { openRunner } from "../support/open-runner.ts";
import { inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import {
  answering,
  BASE_PATH,
  cookieOf,
  identifyBySession,
  listening,
  startUsersServer,
} from "../support/users-server.ts";

describe("a failure of the store", () => {
  const failing = async (error: Error) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    runner.threads.list = () => Promise.reject(error);
    const server = await startUsersServer({ runner });
    return { response: await server.send("ada", "GET /threads"), log: server.log };
  };

  it.each<[RunStoreErrorCode, number]>([
    ["DISK_FULL", 503],
    ["BUSY", 503],
    ["CORRUPT", 500],
    ["READER_DIED", 500],
    ["THREADS_UNSUPPORTED", 501],
    ["RESOURCES_UNSUPPORTED", 501],
  ])("is told by its code, without details: %s", async (code, status) => {
    const { response, log } = await failing(new RunStoreError(code, "/var/lib/secret.db"));
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe(status === 503 ? "1" : null);
    const told = await response.text();
    expect(JSON.parse(told)).toEqual({ error: expect.any(String), code });
    expect(told).not.toContain("secret");
    expect(log).toMatchObject([{ level: "error", fields: { err: { code } } }]);
  });

  it("that has no code is an internal error", async () => {
    const { response, log } = await failing(new Error("/var/lib/secret.db"));
    expect(response.status).toBe(500);
    const error = "the request failed on the server";
    expect(await response.json()).toEqual({ error, code: "INTERNAL_ERROR" });
    expect(log).toHaveLength(1);
  });

  it("is none when the server shuts down", async () => {
    const { send, runner, log } = await startUsersServer();
    await runner.close();
    const response = await send("ada", "GET /threads");
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "RUNNER_CLOSED" });
    expect(log).toEqual([]);
  });

  it("is a conflict when a run that holds the thread does not end", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const held = new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
    runner.threads.delete = () => Promise.reject(held);
    const { send } = await startUsersServer({ runner });
    const response = await send("ada", "DELETE /threads/thread");
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
  });
});

describe("a body that a parser of Express has read before", () => {
  it.each([
    ["an object", (body: string) => JSON.parse(body)],
    ["a text", (body: string) => body],
    ["bytes", (body: string) => Buffer.from(body)],
  ])("is read as it was: %s", async (_, parse) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const runtime = new CopilotRuntime({ runner, agents: { default: new ScriptAgent(answering) } });
    const router = createCopilotExpressHandler({ runtime, basePath: BASE_PATH, cors: false });
    const guarded = withThreadsListener(router, { runner, identify: identifyBySession });
    const { origin } = await listening(async (req, res) => {
      Object.assign(req, { body: parse(await text(req)) });
      await guarded(req, res);
    });
    const send = (method: string, path: string, body: object) =>
      fetch(`${origin}${BASE_PATH}${path}`, {
        method,
        headers: { cookie: cookieOf("ada"), "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const run = await send("POST", "/agent/default/run", inputOf("thread", "run"));
    expect(await run.text()).toContain("RUN_FINISHED");
    const renamed = await send("PATCH", "/threads/thread", { name: "Plans" });
    expect(await renamed.json()).toMatchObject({ name: "Plans" });
  });
});
