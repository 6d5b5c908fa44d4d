import type { Api, ApiErrorCode, ApiFailure, StopAnswer, StopBody } from "../../api.ts";

/** The paths that are read. */
export type Path = {
  [Route in keyof Api]: Route extends `GET ${infer Name}` ? Name : never;
}[keyof Api];

export type Query<Name extends Path> = Api[`GET ${Name}`]["query"];
export type Answer<Name extends Path> = Api[`GET ${Name}`]["answer"];

/** `OFFLINE`: the server does not answer. `UNREADABLE`: something else than the inspector answered. */
export class ApiError extends Error {
  readonly code: ApiErrorCode | "OFFLINE" | "UNREADABLE";

  constructor(code: ApiErrorCode | "OFFLINE" | "UNREADABLE", message: string) {
    super(message);
    this.name = "ApiError";
    this.code = code;
  }
}

/** Throws an `ApiError`. */
export async function get<Name extends Path>(
  path: Name,
  query: Query<Name>,
  signal?: AbortSignal,
): Promise<Answer<Name>> {
  const params = new URLSearchParams(query as Record<string, string>).toString();
  const url = params === "" ? path : `${path}?${params}`;
  return (await ask(url, signal === undefined ? {} : { signal })) as Answer<Name>;
}

/** Tells the run that executes on a thread to stop. Throws an `ApiError`. */
export async function stop(body: StopBody): Promise<StopAnswer> {
  const headers = { "content-type": "application/json" };
  return (await ask("api/stop", {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  })) as StopAnswer;
}

async function ask(url: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    throw new ApiError("OFFLINE", "The inspector does not answer.");
  }
  let body: unknown;
  try {
    body = await response.json();
  } catch {
    throw new ApiError("UNREADABLE", `The answer could not be read (status ${response.status}).`);
  }
  if (response.ok) return body;
  const { error } = body as Partial<ApiFailure>;
  throw new ApiError(error?.code ?? "UNREADABLE", error?.message ?? `Status ${response.status}.`);
}
