import { describe, expect, test } from "vitest";
import { reportHtml } from "../../bench/report/html.ts";
import { reportMarkdown } from "../../bench/report/markdown.ts";
import { readmePlot } from "../../bench/report/readme-plot.ts";
import { reportText } from "../../bench/report/text.ts";
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

  test("the README's table has a row for each peer", () => {
    const rows = reportMarkdown(SMALL_RESULT)
      .split("\n")
      .filter((line) => line.startsWith("| S"));
    expect(rows).toEqual(["| SqliteAgentRunner | 8 500 | 65 | 6 | – | All of it. |"]);
  });
});
