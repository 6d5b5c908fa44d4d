import type { PostgresRound } from "../round.ts";

/** Hosts are killed when a commit has reached the server, and its answer has not reached them. */
export async function killAtCommit(round: PostgresRound): Promise<void> {
  const { random } = round;
  const lives = [0, 1, 2].map(() => random.integer(1, 12));
  round.detail = `after ${lives.join(", ")} runs`;
  const other = round.start("other", { stopsOthers: true });
  for (const [life, runs] of lives.entries()) {
    const child = round.start(`killed${life}`, { stopsOthers: true });
    await child.until("run", runs);
    let isSent = false;
    const sent = round.proxyOf(child).whenSent("dar_commit");
    await round.untilReached(sent.then(() => (isSent = true)));
    await child.kill();
    round.prove(isSent, "no commit was on its way");
  }
  await round.untilMoreRuns(other, 3);
}

/** Hosts that all want the same threads, so that their transactions wait for each other. One host is killed. */
export async function crowdThreads(round: PostgresRound): Promise<void> {
  const { random } = round;
  const count = random.integer(20, 40);
  round.detail = `${count} threads`;
  const threadIds = Array.from({ length: count }, (_, at) => `thread-${at}`);
  const lives = random.integer(5, 30);
  const killed = round.start("killed", { threadIds });
  const hosts = await round.startHosts(3, { threadIds });
  await killed.until("run", lives);
  await killed.kill();
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 30)));
}
