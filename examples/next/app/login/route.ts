import { cookies } from "next/headers";
import { SESSION_COOKIE, sessionOf } from "@/session";

/** The form of the page: whoever types a name is that user. See session.ts. */
export async function POST(request: Request): Promise<Response> {
  const name = String((await request.formData()).get("name") ?? "").trim();
  if (name !== "") {
    (await cookies()).set(SESSION_COOKIE, sessionOf(name), { httpOnly: true, sameSite: "lax" });
  }
  return new Response(null, { status: 303, headers: { location: "/" } });
}
