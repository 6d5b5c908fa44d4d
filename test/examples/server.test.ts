import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/poll.ts";
import {
  events,
  type ServedEvent,
  shell,
  spawnServer,
  startServer,
  textOf,
} from "./server-process.ts";

/** Milliseconds of a token. An answer takes longer than a busy machine needs to join and to stop it. */
const SLOW_PACE = "100";

describe("examples/server.ts", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "examples-server-"));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  test("prints three curl lines that run, join and stop a run", async () => {
    const env = { DB_PATH: join(directory, "curl.db"), AGENT_PACE_MS: SLOW_PACE };
    const { curl } = await startServer(env);

    const seen: ServedEvent[] = [];
    let joined: Promise<ServedEvent[]> | undefined;
    let stopped: Promise<string[]> | undefined;
    for await (const event of events(curl.run)) {
      seen.push(event);
      if (event.type !== "TEXT_MESSAGE_CONTENT") continue;
      joined ??= collect(events(curl.connect), () => {
        stopped ??= collect(shell(curl.stop));
      });
    }

    expect(seen[0]).toMatchObject({ type: "RUN_STARTED", threadId: "hello" });
    expect(seen.map(({ type }) => type)).toEqual(
      expect.arrayContaining(["TOOL_CALL_RESULT", "STATE_DELTA"]),
    );
    expect(seen.at(-1)).toMatchObject({
      type: "RUN_FINISHED",
      threadId: "hello",
      runId: seen[0]?.runId,
    });
    expect((await stopped)?.join("")).toContain('"stopped":true');
    const others = (await joined) ?? [];
    expect(others.at(-1)).toEqual(seen.at(-1));
    expect(textOf(others)).toBe(textOf(seen));
    expect(textOf(seen)).not.toContain("demo agent"); // The last sentence was never said.
  });

  test("two servers on one file follow and stop each other's runs", async () => {
    const env = { DB_PATH: join(directory, "shared.db"), AGENT_PACE_MS: SLOW_PACE };
    const [first, second] = await Promise.all([startServer(env), startServer(env)]);

    const seen: ServedEvent[] = [];
    let joined: Promise<ServedEvent[]> | undefined;
    let stopped: Promise<string[]> | undefined;
    for await (const event of events(first.curl.run)) {
      seen.push(event);
      if (event.type !== "TEXT_MESSAGE_CONTENT") continue;
      joined ??= collect(events(second.curl.connect), () => {
        stopped ??= collect(shell(second.curl.stop));
      });
    }

    expect((await stopped)?.join("")).toContain('"stopped":true');
    expect(seen.at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: seen[0]?.runId });
    const others = (await joined) ?? [];
    expect(others.at(-1)).toEqual(seen.at(-1));
    expect(textOf(others)).toBe(textOf(seen));
    expect(textOf(seen)).not.toContain("demo agent"); // The last sentence was never said.
  });

  test("SIGTERM ends it with code 0, and the next start on the file has the thread", async () => {
    const env = { DB_PATH: join(directory, "new/folder/threads.db"), AGENT_PACE_MS: "1" };
    const first = await startServer(env);
    const seen = await collect(events(first.curl.run));
    first.child.kill("SIGTERM");
    expect(await first.exitCode).toBe(0);

    const second = await startServer(env);
    const restored = await collect(events(second.curl.connect));
    expect(restored[0]).toMatchObject({ type: "RUN_STARTED", runId: seen[0]?.runId });
    expect(restored.at(-1)).toEqual(seen.at(-1));
    expect(textOf(restored)).toBe(textOf(seen));
    expect(textOf(restored)).toContain("demo agent");
  });

  test("SIGTERM lets the run in flight finish", async () => {
    const { curl, child, exitCode } = await startServer({
      DB_PATH: join(directory, "finish.db"),
      AGENT_PACE_MS: "5",
    });
    const seen = await collect(events(curl.run), () => child.kill("SIGTERM"));
    expect(seen.at(-1)).toMatchObject({
      type: "RUN_FINISHED",
      result: { source: expect.any(String) },
    });
    expect(await exitCode).toBe(0);
  });

  test("outlives a page that asks while the file cannot be read", async () => {
    const dbPath = join(directory, "lost.db");
    const { child, output } = await startServer({ DB_PATH: dbPath });
    const [origin = ""] = /http:[/][/]127.0.0.1:[0-9]+/.exec(output()) ?? [];
    const cookie = `durable-agent-runner-visitor=${crypto.randomUUID()}`;
    const statusOf = async (path: string) => {
      const response = await fetch(`${origin}${path}`, { headers: { cookie } });
      await response.text();
      return response.status;
    };
    expect(await statusOf("/demo/status?thread=t")).toBe(200);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${dbPath}${suffix}`);
    await eventually(async () => (await statusOf("/healthz")) === 503);
    expect(await statusOf("/demo/status?thread=t")).toBe(503);
    expect(child.exitCode).toBe(null);
  });

  test("a second signal ends it at once", async () => {
    const { curl, child, exitCode } = await startServer({
      DB_PATH: join(directory, "twice.db"),
      AGENT_PACE_MS: "1000",
    });
    const run = collect(events(curl.run), () => {
      child.kill("SIGINT");
      child.stdout?.once("data", () => child.kill("SIGINT"));
    });
    await expect(run).rejects.toThrow("curl");
    expect(await exitCode).toBe(1);
  });

  test.each(["http", "-1", "65536", "4141.5"])("PORT=%s is refused with 2", async (PORT) => {
    const { exitCode, output } = spawnServer({ PORT });
    expect(await exitCode).toBe(2);
    expect(output()).toBe(`PORT must be a whole number from 0 to 65535, got "${PORT}"\n`);
  });

  test("names a port that is in use", async () => {
    const { curl } = await startServer({ DB_PATH: join(directory, "port.db") });
    const PORT = /:(\d+)\//.exec(curl.run)?.[1] ?? "";
    const { exitCode, output } = spawnServer({ PORT, DB_PATH: join(directory, "port.db") });
    expect(await exitCode).toBe(1);
    expect(output()).toContain(`Port ${PORT} is in use.`);
  });

  test("names a file that is no database", async () => {
    const DB_PATH = join(directory, "not-a-database.db");
    writeFileSync(DB_PATH, "This is some text, and no database at all.".repeat(100));
    const { exitCode, output } = spawnServer({ DB_PATH });
    expect(await exitCode).toBe(1);
    expect(output()).toContain(`Cannot open the database ${DB_PATH}: `);
  });
});

/** Collects all events, and calls a function at the first of them. */
async function collect<T>(source: AsyncIterable<T>, onFirst?: () => void): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of source) {
    if (collected.push(item) === 1) onFirst?.();
  }
  return collected;
}
