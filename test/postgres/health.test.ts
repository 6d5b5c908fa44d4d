import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type BatchTelemetry, healthz, type RecoveryTelemetry } from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { schemaOf } from "../support/new-runner.ts";
import { collectingLogger, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, started } from "../support/scripted-agent.ts";
import { listen } from "../telemetry/listen.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

function openOn(connectionString: string, schema?: string): PostgresAgentRunner {
  const options = { logger: collectingLogger(), leaseMs: 1000, answerTimeoutMs: 2000 };
  const runner = new PostgresAgentRunner({ connectionString, schema, ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

test("batches and recovered runs are told of, as with a file", async () => {
  const url = await server.newDatabase();
  const batches = listen<BatchTelemetry>("batch");
  const recoveries = listen<RecoveryTelemetry>("recovery");
  const runner = openOn(url);
  await runToEnd(runner, "t", "r", answeringAgent());
  expect(batches).toHaveLength(runner.stats().batches);
  expect(batches[0]).toMatchObject({ operations: 1, instanceId: expect.any(String) });

  const dbPath = randomUUID();
  const env = { RUNNER_POSTGRES_URL: url };
  const owner = await RunnerProcess.open({ dbPath, leaseMs: 1000 }, { env });
  const run = owner.run("t", "killed");
  await run.emit(started({ threadId: "t", runId: "killed" }));
  await owner.flush();
  await owner.kill();
  await openOn(url, schemaOf(dbPath)).ready();
  // The killed host counts as dead when its heartbeats have stood still for its lease.
  await eventually(() => recoveries.length > 0);
  expect(recoveries).toEqual([{ instanceId: expect.any(String), runs: 1, error: null }]);
});

test("a runner is healthy while its server is there", async ({ skip }) => {
  if (!server.isOwn) skip("the server of POSTGRES_URL is not stopped");
  const runner = openOn(await server.newDatabase());
  const probe = healthz(runner);
  expect((await probe()).status).toBe(200);
  await server.own.kill();
  const failing = await eventually(async () => {
    const response = await probe();
    return response.status === 503 && response;
  });
  expect(await failing.json()).toMatchObject({
    status: "failing",
    code: expect.stringMatching(/^(CANNOT_CONNECT|CONNECTION_LOST)$/),
  });
  expect((await healthz(runner, { probe: "liveness" })()).status).toBe(200);
  await server.own.start();
  await eventually(async () => (await probe()).status === 200);
});
