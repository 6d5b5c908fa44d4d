import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = [
  "package.json",
  "src",
  "workers",
  "test/support",
  "test/simulate",
  "test/chaos",
  "test/events",
];

/** A fault that the code once had, or that it must not have: what to write in place of what stands there. */
export interface Fault {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface MutatedCopy extends Disposable {
  readonly directory: string;
}

/** A copy of what the simulator and the chaos runs execute, with one fault in it. */
export function mutatedCopy({ file, find, replace, name }: Fault): MutatedCopy {
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
