import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";

const SOURCES = join(import.meta.dirname, "../page");
const CACHE = join(import.meta.dirname, "../../../node_modules/.cache/inspector");
/** Milliseconds after which a page that was built from other sources is removed. */
const KEEP_MS = 86_400_000;

/**
 * The directory of a page that was built from the sources as they are: of a checkout, whose `dist` may be old or
 * missing. Builds it if there is none. `onBuild` is called before that.
 */
export async function buildPage(onBuild: () => void): Promise<string> {
  const directory = join(CACHE, hashOfSources());
  if (existsSync(directory)) return directory;
  onBuild();
  mkdirSync(CACHE, { recursive: true });
  forgetOldPages();
  // Another process may build the same page.
  const made = mkdtempSync(join(CACHE, "making-"));
  try {
    const { build } = await import("vite");
    await build({
      configFile: join(SOURCES, "vite.config.ts"),
      logLevel: "error",
      build: { outDir: made, emptyOutDir: true },
    });
    renameSync(made, directory);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(directory)) throw error;
  }
  return directory;
}

function hashOfSources(): string {
  const hash = createHash("sha256");
  const entries = readdirSync(SOURCES, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  for (const path of paths.toSorted()) hash.update(path).update(readFileSync(path));
  return hash.digest("hex").slice(0, 16);
}

function forgetOldPages(): void {
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    const at = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (at < Date.now() - KEEP_MS) rmSync(path, { recursive: true, force: true });
  }
}
