import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, extname, join } from "node:path";
import { inject, onTestFinished } from "vitest";
import { cookieOf } from "../support/users-server.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".woff2": "font/woff2",
};

/** Serves `listener` on a free port until the test ends, and returns the origin. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

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
