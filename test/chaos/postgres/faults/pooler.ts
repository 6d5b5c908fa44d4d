import { isPgBouncerInstalled, PgBouncer } from "../../../support/pgbouncer.ts";
import { PATIENCE_MS, type PostgresRound } from "../round.ts";

const POOL_SIZE = 8;

/** Hosts behind PgBouncer in transaction mode, which is killed and started again. */
export async function killPooler(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  if (!isPgBouncerInstalled()) {
    round.detail = "no pgbouncer here: nothing was broken";
    return;
  }
  const pooler = await PgBouncer.before(cluster.primary.url, POOL_SIZE);
  round.onEnd(() => pooler.remove());
  round.leadTo(pooler.url);
  const isDirect = random.chance(0.5);
  round.detail = isDirect ? "LISTEN past it" : "without LISTEN";
  const listenUrl = isDirect ? cluster.primary.url : null;
  const orders = { prepare: false, listenUrl, answerTimeoutMs: PATIENCE_MS };
  const hosts = await round.startHosts(3, orders);
  for (let time = 0; time < 2; time++) {
    await round.pause(50, 500);
    await pooler.kill();
    await round.pause(0, 500);
    await pooler.start();
    await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  }
  // The hosts keep their connections. Who comes later prepares statements, which this pooler does not keep.
  round.leadTo(cluster.primary.url);
  round.proveTrouble(hosts, ["CONNECTION_LOST", "CANNOT_CONNECT"]);
}
