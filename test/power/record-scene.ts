import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../support/random.ts";
import { contentAfter, type ImageSource } from "./disk/images.ts";
import { type Facts, runsIn } from "./facts.ts";
import type { Fault } from "./faults.ts";
import { type Call, failuresIn, Recorder } from "./record/recording.ts";
import { Scene } from "./scene.ts";

export interface Recording extends ImageSource {
  readonly facts: Facts;
}

const DEADLINE_MS = 90_000;

/** Runs the processes of a fault, and returns their recorded calls. */
export async function recordScene(
  fault: Fault,
  options: {
    readonly library: string;
    /** An empty directory. */
    readonly place: string;
    readonly random: Random;
    readonly durability: "full" | "normal";
  },
): Promise<Recording> {
  const { library, place, random, durability } = options;
  const directory = join(place, "files");
  mkdirSync(directory);
  fault.prepare?.(join(directory, "threads.db"));
  const found = filesIn(directory);
  const failedSyncs = fault.failedSyncs?.(random) ?? {};
  const recorder = new Recorder(library, directory, place, failedSyncs);
  const scene = new Scene({ recorder, directory, random, durability });
  const deadline = setTimeout(() => void scene.dispose(), DEADLINE_MS);
  try {
    await fault.run(scene);
  } finally {
    clearTimeout(deadline);
    await scene.dispose();
  }
  const calls = recorder.read();
  if (fault.failedSyncs !== undefined && failuresIn(calls) === 0) {
    throw new Error("no sync was reached that was to fail");
  }
  const runs = runsIn(calls);
  const acknowledged = runs.flatMap(({ acknowledgedAt }) => acknowledgedAt ?? []);
  if (acknowledged.length === 0) throw new Error("no run was acknowledged");
  const recording = {
    found,
    calls: completeCalls(calls, found, directory),
    acknowledged,
    facts: { threadIds: scene.threadIds, oldRuns: fault.oldRuns ?? 0, runs },
  };
  return recording;
}

/**
 * The calls, checked against the files at the end. A process that was killed just before a call has
 * recorded a call that did not happen. Then the calls without an end are left out.
 */
function completeCalls(
  calls: readonly Call[],
  found: ImageSource["found"],
  directory: string,
): readonly Call[] {
  const real = filesIn(directory);
  const candidates = [calls, calls.filter(({ end }) => Number.isFinite(end))];
  let difference: string | null = null;
  for (const candidate of candidates) {
    const rebuilt = contentAfter({ found, calls: candidate, acknowledged: [] });
    const found_ = differenceOf(rebuilt, real);
    if (found_ === null) return candidate;
    difference ??= found_;
  }
  throw new Error(`something went past the record: ${difference}`);
}

function differenceOf(
  rebuilt: ReadonlyMap<string, Buffer>,
  real: ImageSource["found"],
): string | null {
  const names = new Set([...rebuilt.keys(), ...real.keys()]);
  for (const name of names) {
    const a = rebuilt.get(name);
    const b = real.get(name)?.content;
    if (a === undefined) return `${name} is there and was not recorded`;
    if (b === undefined) return `${name} was recorded and is not there`;
    if (!a.equals(b))
      return `${name} has ${b.length} bytes, recorded are ${a.length} or other ones`;
  }
  return null;
}

/** The -shm file is not needed after a power cut, and is not recorded. */
function filesIn(directory: string): ImageSource["found"] {
  const names = readdirSync(directory).filter((name) => !name.endsWith("-shm"));
  return new Map(
    names.map((name) => {
      const path = join(directory, name);
      return [name, { inode: statSync(path).ino, content: readFileSync(path) }];
    }),
  );
}
