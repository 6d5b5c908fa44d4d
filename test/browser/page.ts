import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "vite";
import type { TestProject } from "vitest/node";
import { ROOT } from "../support/build.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The directory of the built page. */
    readonly page: string;
  }
}

const PAGE = join(import.meta.dirname, "page");

/** The list of docs/threads.md, unchanged. */
const documentedList: Plugin = {
  name: "docs",
  // As a file of the page, so that its imports are found there.
  resolveId: (id) => (id === "docs:thread-list.jsx" ? join(PAGE, "thread-list.jsx") : null),
  load(id) {
    if (id !== join(PAGE, "thread-list.jsx")) return null;
    const text = readFileSync(join(ROOT, "docs/threads.md"), "utf8");
    const [, code] = /^```jsx\n\/\/ thread-list.jsx\n(.*?)^```$/ms.exec(text) ?? [];
    return code ?? this.error("docs/threads.md has no thread-list.jsx");
  },
};

/**
 * Installs what the page needs, and builds it. The page has packages of its own, because CopilotKit's
 * React package brings more than twice as many as everything else here.
 */
export default async function setUp(project: TestProject): Promise<() => void> {
  if (!isInstalled()) execFileSync("npm", ["ci"], { cwd: PAGE, stdio: "inherit" });
  mkdirSync(join(ROOT, ".vitest"), { recursive: true });
  const outDir = mkdtempSync(join(ROOT, ".vitest/page-"));
  await build({
    configFile: false,
    root: PAGE,
    logLevel: "error",
    plugins: [documentedList],
    build: { outDir, emptyOutDir: true, chunkSizeWarningLimit: Number.POSITIVE_INFINITY },
  });
  project.provide("page", outDir);
  return () => rmSync(outDir, { recursive: true, force: true });
}

function isInstalled(): boolean {
  const installed = join(PAGE, "node_modules/.package-lock.json");
  const lock = join(PAGE, "package-lock.json");
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
}
