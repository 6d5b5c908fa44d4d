import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareResults } from "../../bench/report/compare.ts";
import { reportHtml } from "../../bench/report/html.ts";
import { ratiosOf } from "../../bench/report/ratios.ts";
import { fillReadme, hasPlace } from "../../bench/report/readme.ts";
import { readmePlot } from "../../bench/report/readme-plot.ts";
import { tableOf } from "../../bench/report/summary.ts";
import { alignTable, reportText } from "../../bench/report/text.ts";
import type { BenchResult, TrialResult } from "../../bench/results.ts";
import { ROOT } from "../support/build.ts";
import { SMALL_RESULT } from "./small-result.ts";

/** Elements that HTML and SVG never close. */
const VOID = new Set(["meta", "!doctype"]);

/** Throws unless every element is closed, in order, and every `<` and `&` of text is escaped. */
function expectWellFormed(markup: string): void {
  const open: string[] = [];
  // The rest between tags is text.
  for (const [, close, name = "", rest = "", text = ""] of markup.matchAll(
    /<(\/?)([!\w]+)([^<>]*)>([^<]*)/g,
  )) {
    if (close === "/") expect(open.pop()).toBe(name);
    else if (!rest.endsWith("/") && !VOID.has(name.toLowerCase())) open.push(name);
    if (open.at(-1) !== "style") expect(text).not.toMatch(/&(?!(amp|lt|gt|quot);)|>/);
  }
  expect(open).toEqual([]);
}

describe("the HTML report", () => {
  const html = reportHtml(SMALL_RESULT);

  test("has every section", () => {
    const ids = [...html.matchAll(/<h2 id="([\w-]+)"/g)].map(([, id]) => id);
    expect(ids).toEqual([
      "failed",
      "targets",
      "peers",
      "throughput",
      "model-pace",
      "follow",
      "micro",
      "machine",
      "versions",
    ]);
  });

  test("is self-contained: it loads nothing and executes nothing", () => {
    expect(html).not.toMatch(/<script|<link|<img|<iframe|\bsrc=|\bhref=|@import|url\((?!#)/i);
  });

  test("is well-formed with any names in it", () => {
    expectWellFormed(html);
    expect(html).toContain("Abacus &lt;9000&gt;");
    expect(html).toContain("it &lt;broke&gt;");
  });

  test("says what was run, on which machine, and whether each target was met", () => {
    expect(html).toContain("npm run bench -- --quick");
    expect(html).toContain("24.0.0");
    expect(html).toContain("1 of 3 targets met");
    for (const { text } of SMALL_RESULT.verdicts) expect(html).toContain(text);
    for (const { promise } of SMALL_RESULT.peers) {
      expect(html).toContain(promise.replaceAll("&", "&amp;"));
    }
  });

  test("draws every plot that has figures, with its table", () => {
    const titles = [...html.matchAll(/<svg [^>]*aria-label="([^"]+)"/g)].map(([, title]) => title);
    expect(titles).toEqual(["Over threads", "Delay", "Queue"]);
    expect(html.match(/class="pair"/g)).toHaveLength(titles.length);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("shows medians of the rounds, and ratios of neighbours with their spread", () => {
    // 8000 / 200 and 9000 / 100.
    expect(html).toContain('65<div class="spread">40 to 90</div>');
    expect(html).toContain('8\u202f500<div class="spread">8\u202f000 to 9\u202f000</div>');
  });

  test("warns when the machine was not quiet", () => {
    expect(html).toContain("Other processes took 40 % of the processors meanwhile: the figures");
    const quiet = reportHtml({ ...SMALL_RESULT, takenByOthers: 0.04 });
    expect(quiet).toContain("Other processes took 4 % of the processors meanwhile.");
  });

  test("supports a light and a dark colour scheme", () => {
    expect(html).toContain("prefers-color-scheme: dark");
  });
});

/** The same result, with other figures of SqliteAgentRunner at 200 threads. */
function withRunsPerSecond(...rounds: readonly number[]): BenchResult {
  const trials = SMALL_RESULT.trials.map((trial) => {
    if (trial.name !== "throughput") return trial;
    const others = trial.samples.filter(({ peer, x }) => peer !== "durable" || x !== 200);
    const own = rounds.map((runsPerSecond, round) => ({
      ...{ peer: "durable", x: 200, round, figures: { runsPerSecond } },
    }));
    return { ...trial, samples: [...others, ...own] };
  });
  return { ...SMALL_RESULT, trials };
}

describe("a result beside an earlier one", () => {
  const rowOf = (result: BenchResult, earlier: BenchResult) =>
    compareResults(result, earlier)
      .find(({ trial }) => trial.name === "throughput")
      ?.table.rows.find(([x, peer]) => x === "200" && peer === "SQLite")
      ?.slice(2);

  test("shows the ratio of each figure, and the noise of both", () => {
    expect(rowOf(withRunsPerSecond(16_000, 18_000), SMALL_RESULT)).toEqual([
      ...["runs/s", "8\u202f500", "±6 %", "17\u202f000", "±6 %", "2x", "better"],
    ]);
  });

  test("calls a change one only if the rounds of both do not overlap", () => {
    const change = (...rounds: number[]) =>
      rowOf(withRunsPerSecond(...rounds), SMALL_RESULT)?.at(-1);
    expect(change(4000, 5000)).toBe("worse");
    expect(change(4000, 8100)).toBe("noise");
    expect(change(4000)).toBe("unknown");
  });

  test("is part of the text and of the page", () => {
    const earlier = withRunsPerSecond(4000, 5000);
    expect(reportText(SMALL_RESULT, earlier)).toMatch(/ 1.89x +better$/m);
    expect(reportText(SMALL_RESULT)).not.toContain("Compared with");
    const page = reportHtml(SMALL_RESULT, earlier);
    expectWellFormed(page);
    expect(page).toContain('<h2 id="compared">');
  });
});

describe("the ratios of a result", () => {
  test("are those to the baseline of each trial, within each round", () => {
    expect(ratiosOf(SMALL_RESULT)).toContainEqual({
      ...{ trial: "throughput", x: 200, peer: "durable", against: "synchronous" },
      ...{ figure: "runsPerSecond", median: 65, min: 40, max: 90 },
    });
  });
});

describe("what a runner costs", () => {
  const sample = (peer: string, round: number, cpuUsPerRun: number) => ({
    ...{ peer, round, x: 200, figures: { runsPerSecond: 1, cpuUsPerRun } },
  });
  const trial: TrialResult = {
    ...(SMALL_RESULT.trials[0] as TrialResult),
    show: ["runsPerSecond", "cpuUsPerRun"],
    baseline: null,
  };
  const columnOf = (samples: TrialResult["samples"]) => {
    const { head, rows } = tableOf(SMALL_RESULT, { ...trial, samples });
    return rows.map((row) => row[head.indexOf("beyond no runner, µs")]);
  };

  test("is the difference to no runner in the same round", () => {
    const none = [sample("no-runner", 0, 10), sample("no-runner", 1, 50)];
    const own = [sample("durable", 0, 110), sample("durable", 1, 250)];
    expect(columnOf([...own, ...none])).toEqual(["150", "0"]);
  });

  test("is not shown where no runner was measured", () => {
    expect(columnOf([sample("durable", 0, 110)])).toEqual([undefined]);
  });
});

describe("a table on the terminal", () => {
  test("has at most 120 columns: what is too wide is below, beside its first columns again", () => {
    const figures = Array.from({ length: 20 }, (_, at) => `figure ${at} of many`);
    const head = ["threads", "", ...figures];
    const row = ["200", "SQLite, full", ...figures.map((_, at) => String(1_000_000 + at))];
    const lines = alignTable({ head, rows: [row] }, 2).split("\n");
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(120);
    const values = lines.filter((line) => line.includes("200  SQLite, full"));
    expect(values.length).toBeGreaterThan(1);
    expect(values.join(" ").match(/10000\d\d/g)).toEqual(row.slice(2));
  });
});

describe("the other reports", () => {
  test("the text ends with the targets and says what failed", () => {
    const text = reportText(SMALL_RESULT);
    expect(text).toMatch(/Targets: 1 of 3 met/);
    expect(text).toMatch(/MET +Fast/);
    expect(text).toMatch(/MISSED +Small/);
    expect(text).toMatch(/NOT MEASURED +Quiet/);
    expect(text).toMatch(/Failed\n +micro, durable: it <broke>$/);
  });

  test("the README's plot is a self-contained file for any page", () => {
    const svg = readmePlot(SMALL_RESULT);
    expectWellFormed(svg);
    expect(svg).toMatch(/^<svg [^>]*width="680"[^>]* xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg).toContain("Over threads");
    expect(svg).not.toContain("prefers-color-scheme");
  });

  test("the README gets a table with a row for each peer, and the targets, in place of the earlier ones", () => {
    const [begin, end] = [
      ...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/<!--.*bench.*-->/g),
    ];
    const earlier = `before\n${begin}\nearlier\n${end}\nafter\n`;
    const filled = fillReadme(earlier, SMALL_RESULT);
    const row = "| SqliteAgentRunner | 8 500 | 65 | – | – | 6 | – | everything |";
    expect(filled.split("\n").filter((line) => line.startsWith("| S"))).toEqual([row]);
    expect(filled).toContain("1 of 3 targets met");
    expect(filled).toContain("- Small");
    expect(filled).toContain("Other processes took 40 %");
    expect(filled).not.toContain("earlier");
    expect(filled).toMatch(/^before\n.*\nafter\n$/s);
    expect(fillReadme(filled, SMALL_RESULT)).toBe(filled);
    expect(hasPlace(filled)).toBe(true);
    expect(hasPlace(`${end}\n${begin}`)).toBe(false);
  });
});
