import { loseTouch } from "../../faults/stop.ts";
import type { LoadProcess } from "../../load-process.ts";
import { ANSWER_TIMEOUT_MS, PATIENCE_MS, type PostgresRound, TAKE_OVER_MS } from "../round.ts";

/** Connections are cut, over and over. */
export async function cutConnections(round: PostgresRound): Promise<void> {
  const { random } = round;
  const hosts = await round.startHosts(3, { answerTimeoutMs: PATIENCE_MS });
  let cut = 0;
  for (let time = 0; time < 15; time++) {
    await round.pause(10, 200);
    cut += round.proxyOf(random.pick(hosts)).cut(() => random.chance(0.5));
  }
  round.detail = `${cut} connections`;
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  round.proveTrouble(hosts, ["CONNECTION_LOST"]);
}

/** Connections stay open and pass nothing on any more, in the middle of whatever they do. */
export async function silenceConnections(round: PostgresRound): Promise<void> {
  const { random } = round;
  const hosts = await round.startHosts(3);
  let silenced = 0;
  for (let time = 0; time < 2; time++) {
    await round.pause(10, 300);
    for (const host of hosts) {
      silenced += round.proxyOf(host).silence(() => random.chance(0.3));
    }
    await round.pause(ANSWER_TIMEOUT_MS, 2 * ANSWER_TIMEOUT_MS);
    await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  }
  round.detail = `${silenced} connections`;
  round.proveTrouble(hosts, ["CONNECTION_LOST"]);
}

/** A host reaches nothing for longer than its lease. Another takes over its threads. */
export async function cutOffHost(round: PostgresRound): Promise<void> {
  const mode = round.random.pick(["blackhole", "refuse"] as const);
  round.detail = mode;
  const proxyOf = (child: LoadProcess) => round.proxyOf(child);
  const absence = {
    begin(child: LoadProcess) {
      child.beginAbsence();
      proxyOf(child).mode = mode;
      if (mode === "refuse") proxyOf(child).cut();
    },
    end(child: LoadProcess) {
      proxyOf(child).mode = "pass";
      proxyOf(child).cut();
      child.endAbsence();
    },
  };
  await loseTouch(round, absence, TAKE_OVER_MS);
}

/** Answers come late: so late that some are not awaited. */
export async function delayAnswers(round: PostgresRound): Promise<void> {
  const { random } = round;
  // A host whose heartbeats are late for longer than its lease would lose its threads.
  const hosts = await round.startHosts(3, { leaseMs: 8000 });
  for (let time = 0; time < 4; time++) {
    const delays = hosts.map(() => random.integer(20, 500));
    round.detail += `${time === 0 ? "" : "; "}${delays.join(", ")}`;
    for (const [at, host] of hosts.entries()) round.proxyOf(host).delayMs = delays[at] ?? 0;
    await round.pause(200, 600);
  }
  round.detail += " ms";
  const late = random.pick(hosts);
  late.beginAbsence();
  round.proxyOf(late).delayMs = 2 * ANSWER_TIMEOUT_MS;
  await round.untilReached(late.until("trouble CONNECTION_LOST"));
  for (const host of hosts) round.proxyOf(host).delayMs = 0;
  late.endAbsence();
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  round.proveTrouble([late], ["CONNECTION_LOST"]);
}

/** Commits are executed, and their answers get lost with the connection. */
export async function loseAnswers(round: PostgresRound): Promise<void> {
  const { random } = round;
  const hosts = await round.startHosts(3);
  const count = random.integer(5, 15);
  round.detail = `${count} commits`;
  for (let time = 0; time < count; time++) {
    await round.pause(0, 100);
    let isLost = false;
    const lost = round.proxyOf(random.pick(hosts)).cutAnswerTo("dar_commit");
    await round.untilReached(lost.then(() => (isLost = true)));
    round.prove(isLost, "no answer to a commit was lost");
  }
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  round.proveTrouble(hosts, ["CONNECTION_LOST"]);
}
