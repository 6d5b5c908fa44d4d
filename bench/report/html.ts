import type { BenchResult, TrialResult } from "../results.ts";
import { colourOf } from "./colours.ts";
import { compareResults } from "./compare.ts";
import { escapeText } from "./escape.ts";
import { noiseOf } from "./noise.ts";
import { plotOf } from "./plot-of.ts";
import { drawPlot } from "./plots.ts";
import { isTextColumn, type Table, tableOf } from "./summary.ts";

const PAGE_STYLE = `
:root { color-scheme: light dark; --text: #1f2328; --muted: #59636e; --grid: #dde1e6; --page: #ffffff; --panel: #f6f8fa; --good: #1a7f37; --bad: #c2410c }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --muted: #9aa4af; --grid: #30363d; --page: #0d1117; --panel: #161b22; --good: #56d364; --bad: #ff9a5c } }
body { margin: 0 auto; padding: 24px 28px 60px; max-width: 1260px; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
h1 { margin: 0 0 4px; font-size: 26px }
p.missed { color: var(--bad) }
h2 { margin: 44px 0 4px; padding-top: 12px; border-top: 1px solid var(--grid); font-size: 20px }
p { max-width: 80ch; margin: 4px 0 14px; color: var(--muted) }
.pair { display: grid; grid-template-columns: minmax(0, 680px) minmax(0, 1fr); gap: 24px; align-items: center; margin: 18px 0 }
@media (max-width: 900px) { .pair { grid-template-columns: minmax(0, 1fr) } }
.pair svg { width: 100%; height: auto; display: block }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: 4px 9px; border-bottom: 1px solid var(--grid); text-align: right; vertical-align: top }
th { font-weight: 600; vertical-align: bottom }
.text { text-align: left }
.spread { color: var(--muted); font-size: 11.5px; white-space: nowrap }
.wide { overflow-x: auto }
.scroll th, .scroll td { padding: 4px 7px }
summary { cursor: pointer; color: var(--muted); margin: 6px 0 }
.met { color: var(--good); font-weight: 600 }
.missed { color: var(--bad); font-weight: 600 }
.detail { color: var(--muted); font-size: 13px }
code { font-size: .92em; background: var(--panel); padding: 1px 5px; border-radius: 4px }
`;

/** A spread is below its median: beside it, the column would be three times as wide. */
function htmlCell(cell: string): string {
  const [, value, range] = /^([^(]+) \((.+ to .+)\)$/.exec(cell) ?? [];
  if (value === undefined || range === undefined) return escapeText(cell);
  return `${escapeText(value)}<div class="spread">${escapeText(range)}</div>`;
}

function htmlTable({ head, rows }: Table): string {
  const classOf = (column: number) => (isTextColumn(rows, column) ? ' class="text"' : "");
  const cells = (tag: "th" | "td", line: readonly string[]) =>
    line.map((cell, at) => `<${tag}${classOf(at)}>${htmlCell(cell)}</${tag}>`).join("");
  const body = rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("\n");
  return `<table><thead><tr>${cells("th", head)}</tr></thead><tbody>\n${body}\n</tbody></table>`;
}

function factsTable(facts: Readonly<Record<string, string>>): string {
  const rows = Object.entries(facts).map(
    ([name, value]) =>
      `<tr><td class="text">${escapeText(name)}</td><td class="text">${escapeText(value)}</td></tr>`,
  );
  return `<table><tbody>${rows.join("")}</tbody></table>`;
}

function trialSection(result: BenchResult, trial: TrialResult): string {
  const heading = `<h2 id="${escapeText(trial.name)}">${escapeText(trial.title)}</h2><p>${escapeText(trial.about)} <code>--only ${escapeText(trial.name)}</code></p>`;
  if (trial.samples.length === 0) return `${heading}<p>Not measured.</p>`;
  const plots = trial.plots.flatMap((spec) => {
    const drawn = plotOf(result, trial, spec);
    if (drawn === null) return [];
    return [
      `<div class="pair">${drawPlot(drawn.plot)}<div class="wide">${htmlTable(drawn.table)}</div></div>`,
    ];
  });
  const table = `<div class="wide">${htmlTable(tableOf(result, trial, { spreads: true }))}</div>`;
  const all = tableOf(result, trial, { spreads: true, all: true });
  const more =
    all.head.length > trial.show.length + 3
      ? `<details><summary>All figures</summary><div class="wide scroll">${htmlTable(all)}</div></details>`
      : "";
  return `<section>${heading}${plots.join("\n")}${table}${more}</section>`;
}

function targetsSection({ verdicts }: BenchResult): string {
  const rows = verdicts.map(({ text, outcome, details }) => {
    const lines = details.map((detail) => `<div class="detail">${escapeText(detail)}</div>`);
    return `<tr><td class="text ${outcome === "not measured" ? "" : outcome}">${outcome}</td><td class="text">${escapeText(text)}${lines.join("")}</td></tr>`;
  });
  return `<section><h2 id="targets">Targets</h2><table><tbody>${rows.join("\n")}</tbody></table></section>`;
}

function failuresSection({ failures }: BenchResult): string {
  if (failures.length === 0) return "";
  const rows = failures.map(
    ({ trial, peer, message }) =>
      `<tr><td class="text">${escapeText(trial)}</td><td class="text">${escapeText(peer)}</td><td class="text">${escapeText(message)}</td></tr>`,
  );
  return `<section><h2 id="failed">Failed</h2><table><tbody>${rows.join("")}</tbody></table></section>`;
}

function comparisonSection(result: BenchResult, earlier: BenchResult): string {
  const tables = compareResults(result, earlier).map(
    ({ trial, table }) =>
      `<details><summary>${escapeText(trial.title)}</summary><div class="wide">${htmlTable(table)}</div></details>`,
  );
  return `<section><h2 id="compared">Compared with an earlier result</h2><p><code>${escapeText(earlier.command)}</code> on ${escapeText(earlier.startedAt)}. ${escapeText(noiseOf(earlier).text)}</p>${tables.join("\n")}</section>`;
}

/**
 * The report as one self-contained page: it loads no script, font or picture. Beside an earlier result, if
 * there is one.
 */
export function reportHtml(result: BenchResult, earlier: BenchResult | null = null): string {
  const noise = noiseOf(result);
  const met = result.verdicts.filter(({ outcome }) => outcome === "met").length;
  const promises = result.peers.map(
    ({ name, label, promise }) =>
      `<tr><td class="text" style="color: ${colourOf(name)}"><strong>${escapeText(label)}</strong></td><td class="text">${escapeText(promise)}</td></tr>`,
  );
  const baselines = `Figures are medians of the rounds, with the lowest and the highest below; bars behind the markers show the same. Ratios compare turns that ran one after the other. Loop delay is by how much a timer of 1 ms came late; a long block is one late tick, so that the percentiles of a loop with few and long ones begin low.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>durable-agent-runner: benchmark</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<h1>durable-agent-runner: benchmark</h1>
<p><code>${escapeText(result.command)}</code> on ${escapeText(result.startedAt)}, ${result.mode}, ${Math.round(result.seconds)} s. ${met} of ${result.verdicts.length} targets met. ${escapeText(baselines)}</p>
<p class="${noise.loud ? "missed" : ""}">${escapeText(noise.text)}</p>
${failuresSection(result)}
${targetsSection(result)}
${earlier === null ? "" : comparisonSection(result, earlier)}
<section><h2 id="peers">Who is measured, and what each keeps after a crash</h2><table><tbody>${promises.join("\n")}</tbody></table></section>
${result.trials.map((trial) => trialSection(result, trial)).join("\n")}
<section><h2 id="machine">Machine</h2>${factsTable(result.machine)}</section>
<section><h2 id="versions">Versions</h2>${factsTable(result.versions)}</section>
</body>
</html>
`;
}
