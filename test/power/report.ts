import { ProgressBar, printTotals, type Totals } from "../support/fault-report.ts";
import type { Options } from "./options.ts";
import type { CheckedImage } from "./round.ts";

/**
 * `lossy`: images in which acknowledged runs are missing. `lost`: the number of these runs. `other`:
 * violations of all other rules.
 */
type Total = Totals<"recordings" | "images" | "acknowledged" | "lossy" | "lost" | "other">;

const SHOWN_PER_ROUND = 3;

/** The report that the caller sees. */
export class Report {
  readonly #options: Options;
  readonly #totals = new Map<string, Total>();
  readonly #bar = new ProgressBar();
  #images = 0;

  constructor(options: Options) {
    this.#options = options;
    const { seed, images, durability } = options;
    console.log(`power: seed ${seed}, ${images} image(s), durability ${durability}`);
  }

  get violations(): number {
    const totals = [...this.#totals.values()];
    return totals.reduce((sum, { lost, other }) => sum + lost + other, 0);
  }

  skip(fault: string, why: string): void {
    console.log(`${fault}: left out, ${why}`);
  }

  /** Begins a round, and returns the object that reports its progress. */
  begin(round: number, fault: string): { image(image: CheckedImage): void; end(): void } {
    const total = this.#totals.get(fault) ?? newTotal();
    this.#totals.set(fault, total);
    total.recordings++;
    const startedAt = performance.now();
    const name = `round ${round} ${fault}`;
    let failed = 0;
    this.#draw(`${name}: recording`);
    return {
      image: (image) => {
        this.#images++;
        count(image, total);
        if (image.violations.length > 0 && failed++ < SHOWN_PER_ROUND) this.#explain(name, image);
        this.#draw(`${name}: image ${image.number}`);
      },
      end: () => {
        total.ms += performance.now() - startedAt;
        this.#bar.clear();
        const hidden = failed - SHOWN_PER_ROUND;
        if (hidden > 0) console.log(`${name}: ${hidden} more images failed`);
      },
    };
  }

  summarize(): void {
    const sum = printTotals([...this.#totals], newTotal());
    const outcome = this.violations === 0 ? "0 violations" : `${this.violations} VIOLATION(S)`;
    console.log(
      `\n${outcome}: ${sum.images} images, ${sum.acknowledged} acknowledged runs looked for, ${sum.lost} lost`,
    );
  }

  #explain(round: string, { number, cut, style, violations, kept }: CheckedImage): void {
    this.#bar.clear();
    console.log(`${round}, image ${number} (cut at ${cut}, survives: ${style})`);
    for (const [rule, all] of Map.groupBy(violations, (violation) => violation.rule)) {
      const more = all.length > 1 ? `, and ${all.length - 1} more` : "";
      console.log(`  ${rule}: ${all[0]?.seen}${more}`);
    }
    const { seed, images, durability } = this.#options;
    const only = this.#options.faults.map(({ name }) => name).join();
    console.log(
      `  repeat: npm run power -- --seed ${seed} --images ${images} --durability ${durability} --only ${only}`,
    );
    if (kept !== null) console.log(`  kept: ${kept}`);
  }

  #draw(step: string): void {
    this.#bar.draw(this.#images / this.#options.images, step);
  }
}

function count({ acknowledged, violations }: CheckedImage, total: Total): void {
  const lost = violations.filter(({ rule }) => rule === "lost").length;
  total.images++;
  total.acknowledged += acknowledged;
  total.lost += lost;
  total.lossy += lost > 0 ? 1 : 0;
  total.other += violations.length - lost;
}

function newTotal(): Total {
  return { recordings: 0, images: 0, acknowledged: 0, lossy: 0, lost: 0, other: 0, ms: 0 };
}
