// The process that follows: `node follower.child.ts PEER DATABASE THREAD`.
import { EventType } from "@ag-ui/core";
import { openPeer } from "../peers/open-peer.ts";
import type { PeerName } from "../peers/peers.ts";
import { machineNowMs } from "./follow.ts";

interface Arrival {
  readonly emittedAt: number;
  readonly arrivedAt: number;
}

const [peer = "", dbPath = "", threadId = ""] = process.argv.slice(2);
const runner = await openPeer(peer as PeerName, dbPath);
const arrivals: Arrival[] = [];
let connectedAt = Number.POSITIVE_INFINITY;

process.on("message", async (message: "connect" | { readonly endedAt: number }) => {
  if (message === "connect") {
    connectedAt = machineNowMs();
    runner.connect({ threadId }).subscribe((event) => {
      const arrivedAt = machineNowMs();
      if (event.type !== EventType.TEXT_MESSAGE_CONTENT) return;
      // The store merges consecutive deltas, so a delta may hold several times.
      for (const time of String(event.delta).trim().split(" ")) {
        arrivals.push({ emittedAt: Number(time), arrivedAt });
      }
    });
    return;
  }
  // Deltas emitted before the connect are history, and deltas that arrive after the end are not
  // measured.
  const live = arrivals.filter(
    ({ emittedAt, arrivedAt }) => emittedAt > connectedAt && arrivedAt < message.endedAt,
  );
  const lags = live.map(({ emittedAt, arrivedAt }) => arrivedAt - emittedAt);
  await runner.close();
  process.send?.(lags);
});
// The parent process is gone.
process.on("disconnect", () => process.exit());
process.send?.("ready");
