import type { Round } from "../round.ts";

/**
 * Only a few ids, so that they are used again on every thread and in every process, at the same time
 * and later.
 */
const RUN_IDS = ["1700000000001", "1700000000002", "1700000000003"];

/**
 * Processes on the same threads, whose clients use few run ids and send many requests twice. One of the
 * processes is killed and started again.
 */
export async function postTwice(round: Round): Promise<void> {
  const { random } = round;
  const onConcurrentRun = random.pick(["supersede", "enqueue", "reject"] as const);
  round.detail = onConcurrentRun;
  const threadIds = round.threadIds.slice(0, 4);
  const orders = { threadIds, onConcurrentRun, runIds: RUN_IDS };
  const names = ["p0", "p1", "p2"];
  const runs = names.map(() => random.integer(8, 20));
  const killed = round.start("killed", orders);
  const others = names.map((name) => round.start(name, orders));
  await killed.until("run", random.integer(2, 8));
  await killed.kill();
  round.start("restarted", orders);
  await Promise.all(others.map((child, at) => child.until("run", runs[at])));
  const isTwice = others.some((child) =>
    child.records().some((record) => record.what === "requested" && record.runId.endsWith("again")),
  );
  round.prove(isTwice, "no request was sent twice");
}
