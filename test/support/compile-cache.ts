import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ROOT } from "./build.ts";

/**
 * Where Node keeps the JavaScript of the TypeScript files that the tests run, for all their processes and
 * threads. Node strips types with a module in WebAssembly, which each thread compiles anew. That takes most of
 * the start of a thread, and it is what V8 crashes in: see "When V8 crashes" in CONTRIBUTING.md.
 */
export const COMPILE_CACHE = fileURLToPath(
  new URL("../../node_modules/.cache/node", import.meta.url),
);

const THREADS = ["writer", "reader", "backup", "checkpointer"].map(
  (name) => `./workers/${name}.ts`,
);

/**
 * Vitest's global setup: fills the cache with what the worker threads load, so that none of them has to
 * strip types.
 */
export default function fillCompileCache(): void {
  const script = `for (const file of ${JSON.stringify(THREADS)}) await import(file);`;
  const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: ROOT,
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE },
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("the worker files cannot be loaded");
}
