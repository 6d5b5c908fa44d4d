import { createReadStream } from "node:fs";
import type { RequestListener } from "node:http";
import { basename, extname, join } from "node:path";
import { inject } from "vitest";
import { cookieOf } from "../support/users-server.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".woff2": "font/woff2",
};

/** The application around the runtime: its page, and a login that sets a cookie. */
export function application(runtime: RequestListener): RequestListener {
  const directory = inject("page");
  return (req, res) => {
    const { pathname } = new URL(req.url ?? "/", "http://app");
    const [, user] = /^\/login\/(\w+)$/.exec(pathname) ?? [];
    if (pathname.startsWith("/api/copilotkit")) return runtime(req, res);
    if (user !== undefined) {
      const session = cookieOf(user).split("; ").at(-1);
      const cookie = `${session}; Path=/; HttpOnly; SameSite=Lax`;
      res.writeHead(302, { location: "/", "set-cookie": cookie }).end();
      return;
    }
    const asset = /^\/assets\/[\w.-]+$/.test(pathname) ? `assets/${basename(pathname)}` : null;
    const file = pathname === "/" ? "index.html" : asset;
    if (file === null) {
      res.writeHead(404).end();
      return;
    }
    res.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    createReadStream(join(directory, file))
      .on("error", () => res.writeHead(404).end())
      .pipe(res);
  };
}
