import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { measure } from "../../bench/bench.ts";
import { ratiosOf } from "../../bench/report/ratios.ts";
import type { BenchResult } from "../../bench/results.ts";
import { turnsOf } from "../../bench/schedule.ts";
import type { Trial } from "../../bench/trial.ts";
import { TRIALS } from "../../bench/trials/trials.ts";
import { ROOT } from "../support/build.ts";
import { tempDirectory } from "../support/temp-file.ts";
import { SMALL_RESULT } from "./small-result.ts";

function trialNamed(name: string): Trial {
  const trial = TRIALS.find((candidate) => candidate.name === name);
  if (trial === undefined) throw new Error(`no trial ${name}`);
  return trial;
}

/** Where the trials keep no files. */
const NOWHERE = { directory: "/nowhere", runs: null };

describe("the benchmark", () => {
  test("sets a result beside an earlier one, measures nothing for that, and writes the ratios", async () => {
    const directory = tempDirectory();
    const path = (name: string) => join(directory, name);
    writeFileSync(path("result.json"), JSON.stringify({ ...SMALL_RESULT, failures: [] }));
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(ROOT, "bench/main.ts"),
      ...["--from", path("result.json"), "--compare", path("result.json")],
      // A directory that does not exist yet.
      ...["--html", path("new/out.html"), "--ratios", path("new/ratios.json")],
    ]);
    expect(stdout).toContain(`Compared with the result of ${SMALL_RESULT.startedAt}`);
    const ratios = JSON.parse(readFileSync(path("new/ratios.json"), "utf8"));
    expect(ratios).toEqual(ratiosOf(SMALL_RESULT));
    expect(ratios).not.toHaveLength(0);
  });

  test("refuses a result of another format, before it measures", async () => {
    const old = join(tempDirectory(), "old.json");
    writeFileSync(old, JSON.stringify({ ...SMALL_RESULT, format: 1 }));
    const refused = promisify(execFile)(process.execPath, [
      ...[join(ROOT, "bench/main.ts"), "--compare", old],
    ]);
    await expect(refused).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--compare: "),
    });
  });

  test("measures the runtime over HTTP, with clients in another process", async () => {
    const effort = { seconds: 0.05, warmUpSeconds: 0, rounds: 1 };
    const small = (name: string, points: readonly number[], changes: Partial<Trial> = {}) => ({
      ...{ ...trialNamed(name), points, full: effort, peers: ["durable"] as const },
      ...changes,
    });
    const settings = { runsPerThread: 2 };
    const result = await measure(
      {
        trials: [
          small("http", [2], { peers: ["no-runner", "durable"] }),
          small("http-connect", [3], { peers: ["in-memory"] }),
          small("http-storm", [3], { settings }),
          small("http-slow", [2], { peers: ["synchronous"], settings }),
        ],
        ...{
          quick: false,
          seconds: null,
          directory: tempDirectory(),
          kept: NOWHERE,
          command: "test",
        },
      },
      { write: () => undefined },
    );
    expect(result.failures).toEqual([]);
    const measured = result.trials.flatMap(({ samples }) => samples.map(({ peer }) => peer));
    expect(measured).toEqual(["no-runner", "durable", "in-memory", "durable", "synchronous"]);
    for (const { figures } of result.trials[0]?.samples ?? []) {
      expect(figures.runsPerSecond).toBeGreaterThan(0);
      expect(figures.cpuUsPerRun).toBeGreaterThan(figures.mainUsPerRun ?? Infinity);
    }
  });

  test("measures, reports as text, JSON, HTML and SVG, and exits with 0", async () => {
    const directory = tempDirectory();
    const [json, html, svg] = ["json", "html", "svg"].map((name) => join(directory, `out.${name}`));
    const trial = ["--quick", "--only", "start", "--seconds", "0.05"];
    const files = ["--json", json, "--html", html, "--svg", svg, "--dir", directory];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      join(ROOT, "bench/main.ts"),
      ...trial,
      ...files.map(String),
    ]);
    expect(stderr).toMatch(/1\/1 {2}start, durable: [\d.]+ first event/);
    expect(stdout).toMatch(/Targets: \d of 20 met/);
    const result = JSON.parse(readFileSync(String(json), "utf8")) as BenchResult;
    expect(result).toMatchObject({ format: 2, mode: "quick", failures: [] });
    const [start] = result.trials;
    expect(start?.samples.map(({ peer, x }) => [peer, x])).toEqual([
      ["durable", 0],
      ["durable", 10_000],
    ]);
    for (const { figures } of start?.samples ?? []) expect(figures.firstEventMs).toBeGreaterThan(0);
    expect(result.verdicts.filter(({ outcome }) => outcome === "not measured")).toHaveLength(19);
    expect(readFileSync(String(html), "utf8")).toContain("</html>");
    expect(readFileSync(String(svg), "utf8")).toContain("</svg>");
    // The databases are deleted.
    expect(readdirSync(directory).sort()).toEqual(["out.html", "out.json", "out.svg"]);
  });

  test("skips the trials of a server that cannot be had, and says why", async () => {
    const html = join(tempDirectory(), "out.html");
    const args = ["--only", "postgres-follow", "--seconds", "0.05", "--html", html];
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, "bench/main.ts"), ...args],
      { env: { ...process.env, POSTGRES_URL: "postgres://127.0.0.1:1/none" } },
    );
    const why = /skipped: no PostgreSQL server: .*ECONNREFUSED/;
    expect(stderr).toMatch(why);
    expect(stdout).toMatch(why);
  });

  test("exits with 2 for a wrong option, and says what it expected", async () => {
    const wrong = promisify(execFile)(process.execPath, [
      join(ROOT, "bench/main.ts"),
      "--only",
      "x",
    ]);
    await expect(wrong).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--only: expected one of throughput, "),
    });
  });

  test("goes on when a turn fails, and names that turn", async () => {
    const effort = { seconds: 0.05, warmUpSeconds: 0, rounds: 1 };
    // The limit is a bare loop without a `connect`.
    const broken: Trial = { ...trialNamed("connect"), peers: ["limit", "durable"], points: [0] };
    const lines: string[] = [];
    const result = await measure(
      {
        trials: [{ ...broken, full: effort }],
        quick: false,
        seconds: null,
        directory: tempDirectory(),
        kept: NOWHERE,
        command: "test",
      },
      { write: (text) => void lines.push(text) },
    );
    expect(result.failures).toMatchObject([
      {
        trial: "connect",
        peer: "limit",
        message: expect.stringContaining("the limit is no runner"),
      },
    ]);
    expect(result.trials[0]?.samples.map(({ peer }) => peer)).toEqual(["durable"]);
    expect(lines).toHaveLength(2);
  });

  test("runs the peers of a trial in turn in every round", () => {
    const trial: Trial = { ...trialNamed("client-pipeline"), peers: ["in-memory", "durable"] };
    const turns = turnsOf(trial, { seconds: 1, warmUpSeconds: 0, rounds: 2 });
    expect(turns.map(({ task, round }) => [task.peer, round])).toEqual([
      ["in-memory", 0],
      ["durable", 0],
      ["in-memory", 1],
      ["durable", 1],
    ]);
  });
});
