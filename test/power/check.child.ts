// Checks images, one after another: jobs are lines of JSON on stdin, results go to stdout.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { checkImage } from "./check-image.ts";
import type { Facts, ImageJob } from "./facts.ts";

let known: { readonly path: string; readonly facts: Facts } | null = null;

function factsAt(path: string): Facts {
  if (known?.path !== path)
    known = { path, facts: JSON.parse(readFileSync(path, "utf8")) as Facts };
  return known.facts;
}

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line) as ImageJob;
  const verdict = await checkImage(job, factsAt(job.factsPath));
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
