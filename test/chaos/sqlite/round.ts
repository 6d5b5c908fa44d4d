import { join } from "node:path";
import type { LoadProcess } from "../load-process.ts";
import type { LogRecord } from "../log.ts";
import type { Orders } from "../orders.ts";
import { Round } from "../round.ts";
import type { StoreSnapshot } from "../snapshot.ts";
import { NEW_PID_NAMESPACE } from "./namespaces.ts";
import type { SqliteOrders } from "./orders.ts";
import { takeSnapshot } from "./take-snapshot.ts";

const PRELOAD = new URL("preload.ts", import.meta.url).href;

/** A round on a file. Its processes have traps. */
export class SqliteRound extends Round<SqliteOrders> {
  dbPath = join(this.directory, "threads.db");

  async takeSnapshot(): Promise<StoreSnapshot> {
    return takeSnapshot(this.dbPath);
  }

  /** Waits until the process was killed by its own trap. */
  async untilKilledByTrap(child: LoadProcess<SqliteOrders>): Promise<void> {
    child.expectDeath();
    await this.untilReached(child.exited);
    const { traps } = child.orders;
    if (child.alive) await child.kill();
    this.expectFaults(child, traps.length);
  }

  /** Waits until all of the process's traps have sprung. */
  async untilSprung(child: LoadProcess<SqliteOrders>): Promise<void> {
    const { traps } = child.orders;
    await this.untilLogged(child, (records) => faultsIn(records) >= traps.length);
    this.expectFaults(child, traps.length);
  }

  /** Notes the proof that the fault points were reached. */
  expectFaults(child: LoadProcess<SqliteOrders>, count: number): void {
    const happened = faultsIn(child.records());
    if (happened >= count) return;
    const missing = child.orders.traps[happened];
    const point = missing === undefined ? "" : ` (${missing.when} ${missing.point})`;
    this.prove(false, `the fault point was never reached${point} in ${child.name}`);
  }

  protected override ordersFor(common: Orders): SqliteOrders {
    return {
      ...common,
      store: "sqlite",
      dbPath: this.dbPath,
      traps: [],
      clockPath: null,
      busyTimeoutMs: null,
      newPidNamespace: false,
      workerHeapMb: null,
      failedSyncs: [],
    };
  }

  protected override commandOf({ newPidNamespace }: SqliteOrders, script: string): string[] {
    const node = [process.execPath, "--import", PRELOAD, script];
    return newPidNamespace ? [...NEW_PID_NAMESPACE, ...node] : node;
  }
}

function faultsIn(records: readonly LogRecord[]): number {
  return records.filter(({ what }) => what === "fault").length;
}
