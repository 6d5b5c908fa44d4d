import "../support/leak-guard.ts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { failureOf } from "../../src/store/postgres/driver.ts";
import { collectingLogger, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

/** The transactions that store a run fail with this SQLSTATE, the first `times` times. */
async function failWith(url: string, state: string, times: number): Promise<void> {
  await server.query("CREATE SEQUENCE fails", url);
  await server.query(
    `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
       -- A sequence counts on when the transaction is rolled back.
       IF nextval('fails') <= ${times} THEN RAISE 'as told' USING ERRCODE = '${state}'; END IF;
       RETURN NEW;
     END $$`,
    url,
  );
  await server.query(
    "CREATE TRIGGER fail BEFORE INSERT ON durable_agent_runner.runs FOR EACH ROW EXECUTE FUNCTION fail()",
    url,
  );
}

async function storeAgainst(state: string, times: number) {
  const url = await server.newDatabase();
  const runner = new PostgresAgentRunner({ connectionString: url, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  await runner.ready();
  await failWith(url, state, times);
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  return { runner, events };
}

describe("a run is stored once, on the third try, after the server's", () => {
  const passing: readonly (readonly [state: string, what: string, code: string])[] = [
    ["08006", "connection_failure", "CONNECTION_LOST"],
    ["25006", "read_only_sql_transaction", "CONNECTION_LOST"],
    ["40001", "serialization_failure", "BUSY"],
    ["40P01", "deadlock_detected", "BUSY"],
    ["53100", "disk_full", "DISK_FULL"],
    ["53200", "out_of_memory", "CONNECTION_LOST"],
    ["53300", "too_many_connections", "CONNECTION_LOST"],
    ["55P03", "lock_not_available", "BUSY"],
    ["57014", "query_canceled", "BUSY"],
    ["57P01", "admin_shutdown", "CONNECTION_LOST"],
    ["57P02", "crash_shutdown", "CONNECTION_LOST"],
    ["57P03", "cannot_connect_now", "CONNECTION_LOST"],
    ["58030", "io_error", "IO_ERROR"],
  ];

  test.each(passing)("%s %s, which is reported as %s", async (state, _, code) => {
    const { runner, events } = await storeAgainst(state, 2);
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    expect(runner.stats().lastError).toMatchObject({ code });
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
  });
});

test("an error that stays is not waited for, and the thread is free again", async () => {
  // check_violation
  const { runner, events } = await storeAgainst("23514", 1);
  expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
  const next = await runToEnd(runner, "t", "next", answeringAgent());
  expect(next.at(-1)?.type).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["next"]);
});

test.each(["EPIPE", "EBADF", "ECONNRESET", "ETIMEDOUT"])(
  "%s of a socket is no SQLSTATE, and the connection is lost",
  (code) => {
    const error = Object.assign(new Error(`write ${code}`), { code, syscall: "write" });
    expect(failureOf(error)).toMatchObject({
      error: { code: "CONNECTION_LOST", retryable: true },
      endsConnection: true,
    });
  },
);
