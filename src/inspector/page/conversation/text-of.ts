import type { Message } from "../../api.ts";

/** A tool call of a message, whose fields agents may have left out. */
export interface Call {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export function roleOf({ role }: Message): string {
  return typeof role === "string" ? role : "message";
}

/** The text of a message: its content, or the parts of it as text. */
export function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return (content as unknown[]).map(partText).join("\n\n");
}

function partText(part: unknown): string {
  const { type, text, mimeType, filename } = (part ?? {}) as Record<string, unknown>;
  if (typeof text === "string") return text;
  const name = [type, mimeType, filename].filter((word) => typeof word === "string").join(" ");
  return `[${name === "" ? "part" : name}]`;
}

export function callsOf({ toolCalls }: Message): readonly Call[] {
  if (!Array.isArray(toolCalls)) return [];
  return (toolCalls as unknown[]).map((call, at) => {
    const { id, function: called } = (call ?? {}) as {
      id?: unknown;
      function?: { name?: unknown; arguments?: unknown };
    };
    const args = called?.arguments;
    return {
      id: typeof id === "string" ? id : String(at),
      name: typeof called?.name === "string" ? called.name : "?",
      arguments: typeof args === "string" ? args : (JSON.stringify(args) ?? ""),
    };
  });
}

/** Messages among which the call of a result is looked for. */
const REACH = 40;

/** The name of the tool whose result a message is, if its call stands among the messages before it. */
export function toolNameOf(
  index: number,
  at: (index: number) => Message | undefined,
): string | undefined {
  const { role, toolCallId } = at(index) ?? {};
  if (role !== "tool") return undefined;
  for (let before = index - 1; before >= 0 && before > index - REACH; before--) {
    const message = at(before);
    const call = message && callsOf(message).find(({ id }) => id === toolCallId);
    if (call !== undefined) return call.name;
  }
  return undefined;
}

/** The beginning of a text, on one line. */
export function short(text: string, length = 120): string {
  const line = text
    .slice(0, length * 4)
    .replaceAll(/\s+/g, " ")
    .trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
