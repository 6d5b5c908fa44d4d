import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutation } from "./mutations.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = [
  "package.json",
  "src",
  "test/support",
  "test/simulate",
  "test/chaos",
  "test/events",
];

export interface MutatedCopy extends Disposable {
  readonly directory: string;
}

/** A copy of what the simulator executes, with one fault in it. */
export function mutatedCopy({ file, find, replace, name }: Mutation): MutatedCopy {
  const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-mutation-"));
  for (const path of COPIED) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  const path = join(directory, file);
  const text = readFileSync(path, "utf8");
  if (text.split(find).length !== 2) throw new Error(`"${name}" does not fit ${file} any more`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}
