import { cookies } from "next/headers";
import { redirect } from "next/navigation";
import { SESSION_COOKIE, userOf } from "@/session";
import { Chat } from "./chat";

interface Props {
  readonly searchParams: Promise<{ readonly thread?: string }>;
}

export default async function Page({ searchParams }: Props) {
  const user = userOf((await cookies()).get(SESSION_COOKIE)?.value);
  if (user === null) return <Login />;
  const { thread } = await searchParams;
  // A new thread has its id in the address from the start: a reload in its first answer finds it again.
  if (thread === undefined) redirect(`/?thread=${crypto.randomUUID()}`);
  return <Chat user={user} firstThread={thread} />;
}

function Login() {
  return (
    <main className="login">
      <h1>Who are you?</h1>
      <p>Any name will do. Each name has its own conversations.</p>
      <form method="post" action="/login">
        <input name="name" aria-label="Name" autoComplete="username" required maxLength={100} />
        <button type="submit">Go on</button>
      </form>
    </main>
  );
}
