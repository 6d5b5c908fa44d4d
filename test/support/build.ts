import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The project's root. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Vitest's global setup: builds `dist/` once, before any test, for tests that use the built package.
 */
export default function buildPackage(): void {
  execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit" });
}
