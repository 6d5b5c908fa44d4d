import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

const COOKIE = "durable-agent-runner-visitor";

/**
 * Who sends a request, or null. This is no login: a visitor is whoever has the cookie, without a name, and a
 * browser that forgets the cookie has lost its threads.
 */
export function visitorOf({ headers }: IncomingMessage): string | null {
  const [, id] =
    new RegExp(`(?:^|;\\s*)${COOKIE}=([0-9a-f-]{36})(?:;|$)`).exec(headers.cookie ?? "") ?? [];
  return id === undefined ? null : `visitor-${id}`;
}

/**
 * A `set-cookie` for a new visitor. Browsers send cookies to all ports of a host, so a second server knows
 * the visitors of the first.
 */
export function newVisitor(): string {
  const year = 365 * 24 * 3600;
  return `${COOKIE}=${randomUUID()}; Path=/; Max-Age=${year}; HttpOnly; SameSite=Lax`;
}
