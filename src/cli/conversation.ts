import type { Message } from "../index.ts";
import { short, shown } from "./format.ts";
import { styled } from "./print.ts";

/** Characters of a tool's arguments or result that are shown without `--full`. */
const SHORT = 300;

export interface Shape {
  /** Whether arguments and results of tools are shown whole. */
  readonly full: boolean;
}

/** A message as a person reads it. */
export function messageText(message: Message, shape: Shape): string {
  const role = typeof message.role === "string" ? message.role : "message";
  const calls = Array.isArray(message.toolCalls) ? (message.toolCalls as unknown[]) : [];
  const content = contentText(message.content, shape);
  if (role === "tool") return `${styled("dim", `  = ${limited(content, shape)}`)}\n`;
  const lines = content === "" && calls.length > 0 ? [] : [`${heading(role)}${shown(content)}`];
  lines.push(...calls.map((call) => callText(call, shape)));
  return `${lines.join("\n")}\n`;
}

export function heading(role: string): string {
  return `${styled(role === "user" ? "cyan" : "bold", shown(role))}: `;
}

/** A tool call, such as `-> search({"query":"…"})`. */
function callText(call: unknown, shape: Shape): string {
  const { function: called } = (call ?? {}) as {
    function?: { name?: unknown; arguments?: unknown };
  };
  const args = typeof called?.arguments === "string" ? called.arguments : "";
  return styled("dim", `  -> ${shown(String(called?.name ?? "?"))}(${limited(args, shape)})`);
}

export function limited(text: string, { full }: Shape): string {
  return full ? shown(text) : short(text, SHORT);
}

/** Text, a list of parts such as text and images, or the fields of an activity. */
function contentText(content: unknown, shape: Shape): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part) => partText(part)).join("\n");
  return limited(JSON.stringify(content), shape);
}

function partText(part: unknown): string {
  const { type, text, mimeType, filename } = (part ?? {}) as Record<string, unknown>;
  if (typeof text === "string") return text;
  const name = [type, mimeType, filename].filter((word) => typeof word === "string").join(" ");
  return `[${name === "" ? "part" : name}]`;
}
