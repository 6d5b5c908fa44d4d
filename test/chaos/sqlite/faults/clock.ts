import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SqliteRound } from "../round.ts";

export async function jumpClock(round: SqliteRound): Promise<void> {
  const { random } = round;
  const clocks = ["clock-0", "clock-1"].map((name) => join(round.directory, name));
  const set = (path: string, offsetMs: number) => writeFileSync(path, new Float64Array([offsetMs]));
  for (const path of clocks) set(path, 0);
  const children = clocks.map((clockPath, at) => round.start(`p${at}`, { clockPath }));
  await Promise.all(children.map((child) => child.until("run", 3)));
  const jumping = random.pick([[0], [1], [0, 1]]);
  const ahead = random.integer(20, 3600) * 1000;
  const offsets = random.shuffle([ahead, -ahead]);
  round.detail = `${jumping.length} of 2 clocks: ${offsets.join(", ")} ms`;
  for (const offsetMs of offsets) {
    for (const at of jumping) set(clocks[at] ?? "", offsetMs);
    await round.pause(400, 700);
  }
  for (const at of jumping) {
    const faults = children[at]?.records().filter(({ what }) => what === "fault") ?? [];
    round.prove(faults.length >= offsets.length, `the clock of p${at} never jumped`);
  }
}
