import "../support/leak-guard.ts";
import { once } from "node:events";
import { renameSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type HealthzOptions,
  healthz,
  healthzListener,
  type SqliteAgentRunner,
  StoreAgentRunner,
} from "../../src/index.ts";
import { MemoryRunStore } from "../support/memory-store.ts";
import { collectingLogger, openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";
import { stall } from "../support/stall.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

async function ask(runner: SqliteAgentRunner, options?: HealthzOptions) {
  const response = await healthz(runner, options)();
  const body = (await response.json()) as { code: string | null; lagMs: number };
  return { status: response.status, body };
}

/** Whether the store has answered. On a busy machine, that may take longer than a probe waits, and be told as a lag. */
const isAnswered = ({ code, lagMs }: { readonly code: string | null; readonly lagMs: number }) =>
  code === null ? lagMs === 0 : code !== "QUEUE_FULL";

/** Asks until the store has answered. */
const askPatiently: typeof ask = (runner, options) =>
  eventually(async () => {
    const answer = await ask(runner, options);
    return isAnswered(answer.body) && answer;
  });

const up = { status: 200, body: { status: "ok", code: null, lagMs: 0, activeRuns: 0 } };
const failing = (code: string) => ({ status: 503, body: { status: "failing", code } });

describe("a runner that can store runs", () => {
  test("answers 200, before its first run and after it, and counts its runs", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(await askPatiently(runner)).toEqual(up);
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    expect((await ask(runner)).body).toMatchObject({ status: "ok", activeRuns: 1 });
    agent.release();
    await run.done;
    expect(await askPatiently(runner, { probe: "liveness" })).toEqual(up);
  });

  test("is asked over HTTP", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const server = createServer(healthzListener(runner)).listen(0, "127.0.0.1");
    onTestFinished(async () => {
      server.closeAllConnections();
      await once(server.close(), "close");
    });
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/healthz`;
    const { response, body } = await eventually(async () => {
      const response = await fetch(url);
      const body = (await response.json()) as typeof up.body;
      return isAnswered(body) && { response, body };
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(body).toEqual(up.body);
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("answers 200 when the answer of its store waits to be read behind a stall", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runner.ready();
    const asked = ask(runner, { maxLagMs: 100 });
    await nextTurn();
    stall(700);
    expect(await asked).toEqual(up);
  });

  test("asks its store once for many probes", async () => {
    // By this clock, all of them come in the same second.
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    let asked = 0;
    class CountingStore extends MemoryRunStore {
      override ready() {
        asked++;
        return super.ready();
      }
    }
    const runner = new StoreAgentRunner({
      ...{ store: new CountingStore(), onConcurrentRun: "throw", storeInput: "new-messages" },
      ...{ stopTimeoutMs: 1000, closeTimeoutMs: 1000, logger: collectingLogger() },
    });
    const answers = await Promise.all(Array.from({ length: 100 }, healthz(runner)));
    answers.push(await healthz(runner)());
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(asked).toBe(1);
    await runner.close();
  });
});

describe("a runner that cannot store runs answers 503 with a code", () => {
  test("when its file was moved, which only a restart can end", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    renameSync(dbPath, `${dbPath}.moved`);
    expect(await askPatiently(runner)).toMatchObject(failing("FILE_REPLACED"));
    expect(await ask(runner, { probe: "liveness" })).toMatchObject(failing("FILE_REPLACED"));
  });

  test("when its disk is full, and 200 once there is room", async ({ skip }) => {
    const disk = tinyDisk(skip);
    const logger = collectingLogger();
    const runner = openRunner({ dbPath: join(disk.path, "threads.db"), logger });
    await runToEnd(runner, "t", "r", answeringAgent());
    disk.fill();
    const run = watch(
      runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "r2") }),
    );
    await eventually(async () => (await ask(runner)).body.code === "DISK_FULL");
    expect((await ask(runner, { probe: "liveness" })).status).toBe(200);
    disk.clear();
    await run.done;
    await eventually(async () => (await ask(runner)).status === 200);
  });

  test("when another program holds the lock of its file for longer than is allowed", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runner.ready();
    const other = new Database(dbPath);
    onTestFinished(() => void other.close());
    other.exec("BEGIN IMMEDIATE");
    const isFailing = async () => {
      const { status, body } = await ask(runner, { maxLagMs: 0 });
      return status === 503 && body;
    };
    expect((await eventually(isFailing)).code).toMatch(/^(QUEUE_FULL|BUSY)$/);
    other.exec("ROLLBACK");
    await eventually(async () => (await ask(runner)).status === 200);
  });

  test("when its file cannot be opened", async () => {
    const runner = openRunner({ dbPath: join(import.meta.filename, "threads.db") });
    expect(await askPatiently(runner)).toMatchObject(failing("CANNOT_OPEN"));
  });

  test("when it is being closed, which is no reason to end it", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    const closing = runner.close();
    expect(await ask(runner)).toMatchObject(failing("RUNNER_CLOSED"));
    expect((await ask(runner, { probe: "liveness" })).status).toBe(200);
    agent.release();
    await Promise.all([run.done, closing]);
    expect(await ask(runner)).toMatchObject(failing("RUNNER_CLOSED"));
  });
});

test("wrong arguments are a TypeError", () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  expect(() => healthz({} as SqliteAgentRunner)).toThrow("expected a runner");
  const wrong = { probe: "startup" } as unknown as HealthzOptions;
  expect(() => healthz(runner, wrong)).toThrow('expected probe to be "readiness" or "liveness"');
  expect(() => healthzListener(runner, { maxLagMs: -1 })).toThrow("expected maxLagMs");
  // As a readiness probe, it would restart servers whose disk is full.
  const misspelt = { prob: "liveness" } as HealthzOptions;
  expect(() => healthz(runner, misspelt)).toThrow('one of the options probe, maxLagMs, got "prob"');
});
