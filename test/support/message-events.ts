import type { ScriptEvent } from "./scripted-agent.ts";

/** One part of a text message. */
export const delta = (messageId: string, text: string): ScriptEvent => ({
  type: "TEXT_MESSAGE_CONTENT",
  messageId,
  delta: text,
});

/** The opening of an assistant's text message. */
export const opening = (messageId: string): ScriptEvent => ({
  type: "TEXT_MESSAGE_START",
  messageId,
  role: "assistant",
});

export const closing = (messageId: string): ScriptEvent => ({
  type: "TEXT_MESSAGE_END",
  messageId,
});

/** For `until`: the delta with exactly this text. */
export const says =
  (text: string) =>
  (event: ScriptEvent): boolean =>
    event.delta === text;

/** For `until`. */
export const isA =
  (type: string) =>
  (event: ScriptEvent): boolean =>
    event.type === type;
