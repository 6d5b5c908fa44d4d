const ROUTE = "/api/copilotkit/threads";

/** A thread as the routes of `withThreads` give it. */
export interface Thread {
  readonly id: string;
  readonly name: string | null;
  readonly archived: boolean;
  readonly updatedAt: string;
}

export interface ThreadPage {
  readonly threads: readonly Thread[];
  readonly nextCursor: string | null;
}

/** Throws if the server refuses or cannot be reached. */
export function listThreads(withArchived: boolean, cursor: string | null): Promise<ThreadPage> {
  const query = new URLSearchParams({ agentId: "default", limit: "30" });
  if (withArchived) query.set("includeArchived", "true");
  if (cursor !== null) query.set("cursor", cursor);
  return call<ThreadPage>("GET", `?${query}`);
}

export async function renameThread(id: string, name: string): Promise<void> {
  await call("PATCH", `/${encodeURIComponent(id)}`, { name: name === "" ? null : name });
}

export async function setArchived(id: string, archived: boolean): Promise<void> {
  await call("PATCH", `/${encodeURIComponent(id)}`, { archived });
}

export async function deleteThread(id: string): Promise<void> {
  await call("DELETE", `/${encodeURIComponent(id)}`, {});
}

async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(`${ROUTE}${path}`, {
    method,
    ...(body && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  const answer = (await response.json()) as T & { readonly error?: string };
  if (!response.ok) throw new Error(answer.error ?? `The server answered ${response.status}.`);
  return answer;
}
