import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../support/random.ts";
import type { Checkers } from "./checkers.ts";
import { drawImages, type Image } from "./disk/images.ts";
import type { ImageVerdict } from "./facts.ts";
import type { Fault } from "./faults.ts";
import { recordScene } from "./record-scene.ts";

export interface RoundOptions {
  readonly seed: number;
  readonly number: number;
  readonly images: number;
  readonly durability: "full" | "normal";
  readonly keep: boolean;
  readonly library: string;
  readonly checkers: Checkers;
  readonly onImage: (image: CheckedImage) => void;
}

export interface CheckedImage extends ImageVerdict {
  readonly number: number;
  readonly cut: number;
  readonly style: string;
  /** The directory in which it was kept, or null. */
  readonly kept: string | null;
}

/** One recording, and many images of it. */
export async function runRound(fault: Fault, options: RoundOptions): Promise<void> {
  const { seed, number, images, durability, keep, library, checkers, onImage } = options;
  const place = mkdtempSync(join(tmpdir(), "durable-agent-runner-power-"));
  const remove = () => rmSync(place, { recursive: true, force: true });
  process.once("exit", remove);
  let isKept = false;
  try {
    const random = new Random(seed, fault.name, number);
    const recording = await recordScene(fault, { library, place, random, durability });
    const factsPath = join(place, "facts.json");
    writeFileSync(factsPath, JSON.stringify(recording.facts));
    const checks: Promise<void>[] = [];
    for (const image of drawImages(recording, images, seed, fault.name, number)) {
      const directory = join(place, `image-${image.number}`);
      const check = await checkers.next();
      const write = (to: string) => writeImage(image, to);
      write(directory);
      const judge = async () => {
        const { cut, style } = image;
        const verdict = await check({ dbPath: join(directory, "threads.db"), factsPath, cut });
        rmSync(directory, { recursive: true, force: true });
        const isToBeKept = keep && verdict.violations.length > 0;
        // As it was before the check, which changes it.
        if (isToBeKept) write(directory);
        isKept ||= isToBeKept;
        onImage({
          ...verdict,
          number: image.number,
          cut,
          style,
          kept: isToBeKept ? directory : null,
        });
      };
      checks.push(judge());
    }
    await Promise.all(checks);
  } finally {
    process.off("exit", remove);
    if (!isKept) remove();
  }
}

function writeImage({ files }: Image, directory: string): void {
  mkdirSync(directory);
  const written = new Map<Buffer, string>();
  for (const [name, content] of files) {
    const path = join(directory, name);
    const other = written.get(content);
    if (other === undefined) writeFileSync(path, content);
    else linkSync(other, path);
    written.set(content, path);
  }
}
