import { Random } from "../../support/random.ts";
import type { Call } from "../record/recording.ts";
import { SimulatedDisk } from "./disk.ts";
import { pickStyle } from "./style.ts";

/** The content of the disk after a power cut. */
export interface Image {
  /** The number of the image in its recording, from 1. */
  readonly number: number;
  /** The tick of the power cut. */
  readonly cut: number;
  readonly style: string;
  readonly files: ReadonlyMap<string, Buffer>;
}

export type FoundFiles = ConstructorParameters<typeof SimulatedDisk>[0];

export interface ImageSource {
  readonly found: FoundFiles;
  readonly calls: readonly Call[];
  /** Ticks at which a run was acknowledged. */
  readonly acknowledged: readonly number[];
}

/** The styles "late" and "early" divide the changes of so many ticks before the cut. */
const WINDOWS = [20, 200, 2000];

/** Draws `count` images in order of their cuts, in one pass over the record. */
export function* drawImages(
  { found, calls, acknowledged }: ImageSource,
  count: number,
  ...seeds: readonly (number | string)[]
): Generator<Image> {
  const cuts = drawCuts(calls, acknowledged, count, new Random(...seeds, "cuts"));
  const disk = new SimulatedDisk(found);
  const timeline = timelineOf(calls);
  let next = 0;
  for (const [at, cut] of cuts.entries()) {
    for (let step = timeline[next]; step !== undefined && step.at <= cut; step = timeline[++next]) {
      if (step.isEnd) disk.end(step.call);
      else disk.begin(step.call);
    }
    const random = new Random(...seeds, "image", at);
    const from = cut - random.pick(WINDOWS);
    const style = pickStyle(random, { from, to: cut });
    yield { number: at + 1, cut, style: style.name, files: disk.afterCut(style, random) };
  }
}

/**
 * The files as programs read them at the end. They have to equal the real files: otherwise the record
 * missed a call.
 */
export function contentAfter({ found, calls }: ImageSource): Map<string, Buffer> {
  const disk = new SimulatedDisk(found);
  for (const { isEnd, call } of timelineOf(calls)) {
    if (isEnd) disk.end(call);
    else disk.begin(call);
  }
  return new Map([...disk.names].map(([name, file]) => [name, file.content]));
}

interface Step {
  readonly at: number;
  readonly isEnd: boolean;
  readonly call: Call;
}

function timelineOf(calls: readonly Call[]): Step[] {
  const steps: Step[] = [];
  for (const call of calls) {
    const isEnd = isSync(call);
    if (call.kind === "mark" || (call.failed && !isEnd)) continue;
    const at = isEnd ? call.end : call.begin;
    // A sync whose process was killed guarantees nothing.
    if (Number.isFinite(at)) steps.push({ at, isEnd, call });
  }
  return steps.sort((a, b) => a.at - b.at);
}

const isSync = ({ kind }: Call) => kind === "sync" || kind === "sync-directory";

/** Moments of several kinds: any moment, just after a run was acknowledged, and around rare calls. */
function drawCuts(
  calls: readonly Call[],
  acknowledged: readonly number[],
  count: number,
  random: Random,
): number[] {
  const last = calls.at(-1)?.begin ?? 1;
  acknowledged = [...acknowledged].sort((a, b) => a - b);
  const rare = calls.filter(({ kind }) => kind !== "write" && kind !== "mark");
  const failed = calls.filter((call) => isSync(call) && call.failed);
  const cuts: number[] = [];
  for (let at = 0; at < count; at++) {
    const kinds = ["any", "any", "acknowledged", "acknowledged", "rare", "end"];
    if (failed.length > 0) kinds.push("failed", "failed");
    const kind = random.pick(kinds);
    if (kind === "acknowledged" && acknowledged.length > 0) cuts.push(random.pick(acknowledged));
    else if (kind === "failed") {
      // After a failed sync was repaired, several runs are acknowledged at once.
      const { begin } = random.pick(failed);
      const after = acknowledged.filter((tick) => tick > begin).slice(0, 12);
      cuts.push(after.length > 0 ? random.pick(after) : begin);
    } else if (kind === "rare" && rare.length > 0) {
      cuts.push(Math.max(1, random.pick(rare).begin + random.integer(-3, 6)));
    } else if (kind === "end") cuts.push(last);
    else cuts.push(random.integer(1, last));
  }
  return cuts.sort((a, b) => a - b);
}
