import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { giveToServer } from "../../../support/postgres-process.ts";
import { mountSmallDisk, type SmallDisk } from "../../../support/small-disk.ts";
import { PATIENCE_MS, type PostgresRound } from "../round.ts";

const PATIENT = { answerTimeoutMs: PATIENCE_MS };

const CLIENT_BACKENDS =
  "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid";

/** The server, or one of its processes, is killed: each time, all sessions end, and it recovers. */
export async function killServer(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  const hosts = await round.startHosts(3, PATIENT);
  for (let time = 0; time < 2; time++) {
    await round.pause(20, 400);
    if (random.chance(0.5)) {
      const awayMs = random.integer(0, 1500);
      round.detail += ` server, away for ${awayMs} ms`;
      await cluster.primary.kill();
      await round.pause(awayMs, awayMs);
      await cluster.primary.start();
    } else {
      round.detail += " one of its processes";
      const { pid } = random.pick(await cluster.query(CLIENT_BACKENDS));
      process.kill(Number(pid), "SIGKILL");
      await round.pause(20, 20);
      await cluster.untilBack();
    }
    await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  }
  round.proveTrouble(hosts, ["CONNECTION_LOST", "CANNOT_CONNECT"]);
}

/** A standby takes the place of the primary, which was killed or is only cut off. */
export async function failOver(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  await cluster.addStandby();
  const hosts = await round.startHosts(3, PATIENT);
  await round.pause(20, 400);
  const isKilled = random.chance(0.6);
  round.detail = isKilled ? "primary killed" : "primary left behind";
  if (isKilled) await cluster.primary.kill();
  const former = await cluster.promoteStandby();
  round.leadTo(cluster.primary.url);
  // Nobody may read what the former primary still has: each failover has to see to that.
  for (const host of hosts) round.proxyOf(host).cut();
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 4)));
  await former.remove();
  round.proveTrouble(hosts, ["CONNECTION_LOST", "CANNOT_CONNECT"]);
}

/** The server's disk is full. It may end itself when it cannot write its log. */
export async function fillDisk(round: PostgresRound): Promise<void> {
  const { random, cluster } = round;
  const disk = mountDisk(round.directory);
  if (disk === null) {
    round.detail = "no disk can be mounted here: nothing was broken";
    return;
  }
  await cluster.moveTo(disk.path);
  round.onEnd(async () => {
    await cluster.remove();
    disk.unmount();
  });
  round.leadTo(cluster.primary.url);
  const hosts = await round.startHosts(2, PATIENT);
  const fullMs = random.integer(100, 1500);
  round.detail = `for ${fullMs} ms`;
  disk.fill();
  const isHit = Promise.race(hosts.map((host) => host.until("trouble")));
  await round.untilReached(isHit);
  await round.pause(fullMs, fullMs);
  disk.clear();
  if (!cluster.primary.isAlive) {
    round.detail += ", the server had ended itself";
    await cluster.primary.start();
  }
  await cluster.untilBack();
  await Promise.all(hosts.map((host) => round.untilMoreRuns(host, 3)));
  round.proveTrouble(hosts, ["DISK_FULL", "CONNECTION_LOST", "CANNOT_CONNECT"]);
}

function mountDisk(directory: string): SmallDisk | null {
  const path = join(directory, "disk");
  mkdirSync(path);
  try {
    const disk = mountSmallDisk(path, 128);
    giveToServer(path);
    return disk;
  } catch (error) {
    // Only root may mount.
    if (error instanceof Error) return null;
    throw error;
  }
}
