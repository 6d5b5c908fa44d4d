import { extname, join } from "node:path";
import type { PageFiles } from "./messages.ts";

const SOURCES = join(import.meta.dirname, "../first-page");
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

/** Bundles the page in memory. Needs no network. */
export async function buildPage(): Promise<PageFiles> {
  // Only here: loading Vite takes longer than starting the server, which is first.
  const { build } = await import("vite");
  // Vite reads it here alone: with any other value, the page is built with React for development.
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  const built = await build({
    configFile: false,
    root: SOURCES,
    logLevel: "error",
    build: { write: false, chunkSizeWarningLimit: Number.POSITIVE_INFINITY },
  });
  if (NODE_ENV === undefined) delete process.env.NODE_ENV;
  else process.env.NODE_ENV = NODE_ENV;
  if (!("output" in built)) throw new Error("Vite has built more than one bundle");
  return Object.fromEntries(
    built.output.map((file) => {
      const content = file.type === "chunk" ? file.code : file.source;
      const body = typeof content === "string" ? content : new TextDecoder().decode(content);
      return [`/${file.fileName}`, { type: TYPES[extname(file.fileName)] ?? "text/plain", body }];
    }),
  );
}
