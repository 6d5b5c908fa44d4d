import { isFields } from "../events/view/message.ts";

/**
 * The runtime's answer to "info", with what it does not know: that threads can be listed, read and changed.
 * Clients do not call the routes of threads without that. Anything that is no such answer stays as it is.
 *
 * With one route for all, clients read what is below `singleRoute`.
 */
export function withThreadEndpoints(json: string): string {
  const info = parse(json);
  if (!isFields(info) || !isFields(info.agents)) return json;
  const { singleRoute } = info;
  return JSON.stringify(
    isFields(singleRoute)
      ? { ...info, singleRoute: withEndpoints(singleRoute) }
      : withEndpoints(info),
  );
}

function withEndpoints(owner: Readonly<Record<string, unknown>>): object {
  const before = isFields(owner.threadEndpoints) ? owner.threadEndpoints : {};
  const threadEndpoints = { ...before, list: true, inspect: true, mutations: true };
  return { ...owner, threadEndpoints };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
