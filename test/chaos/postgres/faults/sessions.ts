import { setTimeout as pause } from "node:timers/promises";
import { PATIENCE_MS, type PostgresRound } from "../round.ts";

const SESSIONS =
  "SELECT pid FROM pg_stat_activity WHERE application_name = 'durable-agent-runner' ORDER BY pid";

/** Sessions of the hosts are ended, or what they execute is cancelled. */
export async function endSessions(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  const hosts = await round.startHosts(3, { answerTimeoutMs: PATIENCE_MS });
  let ended = 0;
  for (let time = 0; time < 12; time++) {
    await round.pause(10, 200);
    const end = random.pick(["pg_terminate_backend", "pg_cancel_backend"]);
    for (const { pid } of await cluster.query(SESSIONS)) {
      if (!random.chance(0.3)) continue;
      const [answer] = await cluster.query(`SELECT ${end}($1) AS done`, [pid]);
      if (answer.done === true) ended++;
    }
  }
  round.detail = `${ended} sessions`;
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  round.proveTrouble(hosts, ["CONNECTION_LOST"]);
}

const LOCKS = {
  "all threads": "LOCK TABLE durable_agent_runner.threads",
  "some threads": "SELECT 1 FROM durable_agent_runner.threads WHERE random() < 0.5 FOR UPDATE",
  runs: "LOCK TABLE durable_agent_runner.runs IN EXCLUSIVE MODE",
  hosts: "LOCK TABLE durable_agent_runner.hosts IN EXCLUSIVE MODE",
};

/** Another session holds a lock. The database may end statements that wait for it. */
export async function holdLock(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  const hosts = await round.startHosts(3);
  const limit = random.pick([null, "statement_timeout", "lock_timeout"]);
  if (limit !== null) {
    round.detail = `${limit}, `;
    await cluster.query(`ALTER DATABASE postgres SET ${limit} = '100ms'`);
    await cluster.query(`SELECT pg_terminate_backend(pid) FROM (${SESSIONS}) AS s`);
    await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 1)));
  }
  for (let time = 0; time < 2; time++) {
    const [name, statement] = random.pick(Object.entries(LOCKS));
    const holdMs = random.integer(300, 1500);
    round.detail += `${time === 0 ? "" : ", "}${name} for ${holdMs} ms`;
    const session = await cluster.openSession();
    await session.query("BEGIN");
    await session.query(statement);
    await pause(holdMs);
    await session.query("COMMIT");
    await session.end();
    await round.pause(50, 300);
  }
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  if (limit !== null) round.proveTrouble(hosts, ["BUSY"]);
}
