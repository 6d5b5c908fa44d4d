import { readFileSync } from "node:fs";

/** Of the package. Its `package.json` lies above `src` in the sources, and above `dist/src` in the package. */
export function version(): string {
  const depth = import.meta.url.endsWith(".ts") ? "../../" : "../../../";
  const path = new URL(`${depth}package.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}
