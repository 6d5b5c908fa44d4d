import { cookies } from "next/headers";
import { SESSION_COOKIE } from "@/session";

export async function POST(): Promise<Response> {
  (await cookies()).delete(SESSION_COOKIE);
  return new Response(null, { status: 303, headers: { location: "/" } });
}
