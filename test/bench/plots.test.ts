import { describe, expect, test } from "vitest";
import { drawPlot, type Plot } from "../../bench/report/plots.ts";

const series = (points: Plot["series"][number]["points"], name = "durable") => ({
  ...{ name, label: name, shape: 0, points },
});

const plot: Plot = {
  title: "A <title>",
  xLabel: "threads",
  yLabel: "runs/s",
  x: { scale: "log", values: [1, 50, 1000] },
  yScale: "log",
  series: [],
  markers: true,
};

const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)/g)].map(([, text]) => text);
const coloured = (svg: string, colour: string) => svg.split(`"${colour}"`).length - 1;

describe("a plot", () => {
  test("names its axes, its peers and the measured values of a logarithmic axis", () => {
    const points = plot.x.values.map((x) => ({ x, y: 10 * x }));
    const svg = drawPlot({ ...plot, series: [series(points), series(points, "in-memory")] });
    const texts = textsOf(svg);
    for (const text of ["threads", "runs/s", "durable", "in-memory", "1", "50", "1\u202f000"]) {
      expect(texts).toContain(text);
    }
    expect(texts).toContain("A &lt;title&gt;");
  });

  test("has steps with labels of their own, also for a 0", () => {
    const x = { scale: "steps", values: [0, 1], labels: ["p50", "p99"] } as const;
    const svg = drawPlot({ ...plot, x, series: [series([{ x: 0, y: 1 }])] });
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["p50", "p99"]));
  });

  test("has a bar from the lowest to the highest round, and none for one round", () => {
    const drawn = (low: number) =>
      coloured(drawPlot({ ...plot, series: [series([{ x: 50, y: 5, low, high: 5 }])] }), "#2f81f7");
    expect(drawn(2)).toBe(drawn(5) + 1);
  });

  test.each([
    ["a 0 on a logarithmic axis", [{ x: 50, y: 0 }]],
    ["zeros only", [1, 50].map((x) => ({ x, y: 0 }))],
    ["nothing", []],
  ])("can be drawn with %s", (_, points) => {
    for (const yScale of ["log", "linear"] as const) {
      const svg = drawPlot({ ...plot, yScale, series: [series(points)] });
      expect(svg).toContain("</svg>");
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    }
  });
});
