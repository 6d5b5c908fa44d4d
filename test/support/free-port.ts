import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/*
 * Ports below those that Linux, macOS and Windows give to connections and to servers that take any port. One of
 * those could be taken before it is used, or while a server that is started again does not listen.
 */
const FIRST = 20_000;
const LAST = 32_767;

/** A port of 127.0.0.1 that was free just now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST + 1);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer().once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
