import { setTimeout as delay } from "node:timers/promises";
import type { Send } from "../connection.ts";
import type { RemovalContext } from "./remove-thread.ts";

/** Milliseconds between two looks whether another host still purges. */
const WAIT_MS = 100;

/**
 * Takes the lease under which one host purges at a time. Resolves with false when `mayWait` does so while another live
 * host has it.
 */
export async function takePurgeLease(
  context: RemovalContext,
  mayWait: () => boolean,
): Promise<boolean> {
  const { instanceId, statements, slices, isAlive, expectKnown } = context;
  for (;;) {
    const { rows } = await slices.read((send) => send(statements.purgeHolder));
    const [row] = rows as { readonly instance_id: string }[];
    const holder = row?.instance_id ?? instanceId;
    await expectKnown([holder]);
    if (holder === instanceId || !isAlive(holder)) {
      const values = [instanceId, holder];
      const taken = await slices.one((send) => send(statements.takePurgeLease, values));
      if (taken.rowCount === 1) return true;
    }
    if (!mayWait()) return false;
    await delay(WAIT_MS);
  }
}

/**
 * Whether this host still has the lease, for the transaction that asks: until that ends, no host takes the lease. A
 * host that took this one for dead has counted anew, so that what this one has counted is wrong.
 */
export async function holdPurgeLease(
  { instanceId, statements }: RemovalContext,
  send: Send,
): Promise<boolean> {
  return (await send(statements.holdPurgeLease, [instanceId])).rowCount === 1;
}

/** A lease that cannot be given back ends with this host. */
export async function endPurgeLease(context: RemovalContext): Promise<void> {
  const { instanceId, statements, slices } = context;
  const ended = slices.one((send) => send(statements.endPurgeLease, [instanceId]));
  await ended.catch(() => undefined);
}
