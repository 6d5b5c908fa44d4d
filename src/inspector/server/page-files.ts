import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";

/** A file of the page, as it is sent. */
export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".woff2": "font/woff2",
};

/**
 * The files of the built page by the paths under which they are asked for. All are read at once: no path of a request
 * ever reaches the file system.
 */
export function readPage(directory: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(directory, path).split(sep).join("/");
    const type = TYPES[extname(name)] ?? "application/octet-stream";
    const file = { type, content: readFileSync(path) };
    files.set(`/${name}`, file);
    if (name === "index.html") files.set("/", file);
  }
  return files;
}

/** Where the package has its page: beside `dist/src`. Null in the sources, which have none. */
export function builtPage(): string | null {
  if (import.meta.url.endsWith(".ts")) return null;
  const directory = join(import.meta.dirname, "../../../inspector");
  return existsSync(join(directory, "index.html")) ? directory : null;
}
