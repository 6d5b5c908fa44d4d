import "../support/leak-guard.ts";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type {
  BatchTelemetry,
  ErrorTelemetry,
  LeaseTelemetry,
  RecoveryTelemetry,
  RetentionTelemetry,
} from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import { collectingLogger, openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { listen } from "./listen.ts";

test("batches: as many as stats count, with what they held", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const batches = listen<BatchTelemetry>("batch");
  for (const runId of ["r1", "r2"]) await runToEnd(runner, "t", runId, answeringAgent());
  expect(batches).toHaveLength(runner.stats().batches);
  const sum = (of: (batch: BatchTelemetry) => number) =>
    batches.reduce((total, batch) => total + of(batch), 0);
  // Two claims, and two ends of runs.
  expect(sum(({ operations }) => operations)).toBe(4);
  expect(sum(({ bytes }) => bytes)).toBeGreaterThan(500);
  for (const { instanceId, commitMs, lagMs } of batches) {
    expect(instanceId).toMatch(/^[0-9a-f-]{36}$/);
    expect(lagMs).toBeGreaterThanOrEqual(commitMs);
  }
});

test("recovery: how many runs of a dead process were ended", async () => {
  const dbPath = tempDatabase();
  const { owner } = await processInMidRun(dbPath);
  await owner.kill();
  const recovered = listen<RecoveryTelemetry>("recovery");
  await openRunner({ dbPath }).ready();
  expect(recovered).toEqual([{ instanceId: expect.any(String), runs: 1, error: null }]);
});

test("retention: what a purge has removed", async () => {
  const dbPath = tempDatabase();
  const purges = listen<RetentionTelemetry>("retention");
  const runner = openRunner({ dbPath, retention: { maxRunsPerThread: 1, everyMs: 5 } });
  for (const runId of ["r1", "r2"]) await runToEnd(runner, "t", runId, answeringAgent());
  await eventually(() => purges.some(({ removed }) => removed?.runs === 1));
  expect(purges[0]).toEqual({
    removed: expect.objectContaining({ threads: 0 }),
    ms: expect.any(Number),
    error: null,
  });
});

test("lease: a run whose thread was taken over, once", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const leases = listen<LeaseTelemetry>("lease");
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  withDatabase(dbPath, (db) => db.exec("UPDATE run_state SET epoch = epoch + 1"));
  agent.emit(started({ threadId: "t", runId: "r" }), ...text("m", "too late"));
  expect((await run.done).at(-1)).toMatchObject({ code: "LEASE_LOST" });
  expect(leases).toEqual([
    { kind: "lost", instanceId: expect.any(String), threadId: "t", runId: "r", epoch: 1 },
  ]);
});

test("lease: a process that was suspended for too long", async () => {
  const dbPath = tempDatabase();
  const log = `${dbPath}.leases`;
  const preload = fileURLToPath(new URL("lease-log.ts", import.meta.url));
  const owner = await RunnerProcess.open(
    { dbPath, leaseMs: 200 },
    { execArgv: ["--import", preload], env: { LEASE_LOG: log } },
  );
  owner.pause();
  await eventually(() =>
    withDatabase(dbPath, (db) => {
      const beat = db.prepare("SELECT heartbeat_uptime FROM runner_instances").pluck().get();
      return Number(process.hrtime.bigint()) / 1e6 - Number(beat) > 300;
    }),
  );
  owner.resume();
  await eventually(() => existsSync(log) && readFileSync(log, "utf8").includes("overslept"));
  expect(JSON.parse(readFileSync(log, "utf8").split("\n")[0] ?? "")).toMatchObject({
    kind: "overslept",
  });
  await owner.close();
});

test("error: what the logger gets as a warning or an error, with its code", async () => {
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const errors = listen<ErrorTelemetry>("error");
  const runner = openRunner({ dbPath, logger });
  await runner.ready();
  renameSync(dbPath, `${dbPath}.moved`);
  await expect(runner.flush()).rejects.toMatchObject({ code: "FILE_REPLACED" });
  const logged = logger.lines.filter(({ level }) => level === "warn" || level === "error");
  expect(errors).toEqual(
    logged.map(({ level, fields, message }) => ({ level, fields, message, code: "FILE_REPLACED" })),
  );
  expect(errors.length).toBeGreaterThan(0);
});
