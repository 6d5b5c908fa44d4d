/*
 * Stands in for your login, such as Auth.js: whoever types a name is that user, without a password. What
 * has to stay is that the server, and not the page, says who the user is: here by a signed cookie.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

export const SESSION_COOKIE = "session";
const SECRET_FILE = "./data/session-secret";

/** A value for the cookie that only this server can make. */
export function sessionOf(user: string): string {
  const name = Buffer.from(user).toString("base64url");
  return `${name}.${signatureOf(name).toString("base64url")}`;
}

/** The user of a cookie's value, or null if this server has not made it. */
export function userOf(session: string | undefined): string | null {
  const [name = "", signature = ""] = session?.split(".") ?? [];
  const given = Buffer.from(signature, "base64url");
  const expected = signatureOf(name);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  return Buffer.from(name, "base64url").toString("utf8");
}

function signatureOf(name: string): Buffer {
  return createHmac("sha256", secret()).update(name).digest();
}

/** Kept in a file, so that users stay logged in over restarts. */
function secret(): string {
  if (process.env.SESSION_SECRET) return process.env.SESSION_SECRET;
  mkdirSync("./data", { recursive: true, mode: 0o700 });
  try {
    writeFileSync(SECRET_FILE, randomBytes(32).toString("hex"), { mode: 0o600, flag: "wx" });
  } catch {
    // It is there already.
  }
  return readFileSync(SECRET_FILE, "utf8");
}
