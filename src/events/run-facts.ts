import { type EventLike, stringField } from "./event.ts";
import { MessageDigests } from "./message-digests.ts";
import { type ModelUsage, usageOf } from "./usage.ts";

/** How a run ended, as its last event tells. */
export interface RunEnd {
  readonly outcome: "finished" | "interrupt" | "error";
  /** `code` of its RUN_ERROR, or null. */
  readonly errorCode: string | null;
  /** What the agent told of its usage, or null. */
  readonly tokens: Tokens | null;
}

export interface Tokens {
  readonly input: number;
  readonly output: number;
}

/** What a list of threads tells of a run. */
export interface RunFacts extends RunEnd {
  /** The text of its first user message, or null. */
  readonly userText: string | null;
  /** The texts of the messages that users and assistants have added. */
  readonly texts: readonly string[];
  /** How many messages the thread has after the run, if it had `before` messages. */
  readonly messages: number;
}

/** UTF-16 units of texts that are taken of a run. */
const MAX_TEXT = 256 * 1024;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the last event of a run tells. */
export function endOf(event: EventLike | undefined): RunEnd {
  const { type, outcome, code } = event ?? ({ type: "" } as EventLike);
  const tokens = event === undefined ? null : tokensOf(usageOf(event));
  if (type === "RUN_ERROR") {
    return { outcome: "error", errorCode: typeof code === "string" ? code : null, tokens };
  }
  const isInterrupt = isFields(outcome) && outcome.type === "interrupt";
  return { outcome: isInterrupt ? "interrupt" : "finished", errorCode: null, tokens };
}

/** The tokens of all models together, or null if the agent told nothing. */
function tokensOf(usage: readonly ModelUsage[]): Tokens | null {
  let input = 0;
  let output = 0;
  let isTold = false;
  for (const { inputTokens, outputTokens } of usage) {
    isTold ||= inputTokens !== null || outputTokens !== null;
    input += inputTokens ?? 0;
    output += outputTokens ?? 0;
  }
  return isTold ? { input, output } : null;
}

/**
 * What a list of threads tells of a run. `before` is how many messages the thread had before it.
 *
 * A MESSAGES_SNAPSHOT has all messages of the thread: those behind the first `before` are counted as added.
 */
export function factsOf(events: readonly EventLike[], before: number): RunFacts {
  const ids = new MessageDigests();
  const texts = new MessageTexts();
  let listed: readonly unknown[] = [];
  for (const event of events) {
    if (event.type === "MESSAGES_SNAPSHOT") {
      if (Array.isArray(event.messages)) listed = event.messages as unknown[];
      continue;
    }
    ids.observe(event);
    texts.observe(event);
  }
  const isShorter = listed.length < before;
  for (const message of listed.slice(isShorter ? 0 : before)) texts.put(message);
  const messages = Math.max(before + ids.size, listed.length);
  const last = events.findLast(({ type }) => type === "RUN_FINISHED" || type === "RUN_ERROR");
  return { ...endOf(last), ...texts.read(), messages };
}

/** The texts of the messages of users and assistants in events. */
class MessageTexts {
  readonly #byId = new Map<string, { role: string; text: string }>();
  #length = 0;
  #lastChunk = "";

  observe(event: EventLike): void {
    const id = stringField(event, "messageId");
    switch (event.type) {
      case "RUN_STARTED": {
        const { messages } = isFields(event.input) ? event.input : {};
        if (Array.isArray(messages)) for (const message of messages as unknown[]) this.put(message);
        return;
      }
      case "TEXT_MESSAGE_START":
        if (id !== undefined) this.#begin(id, event);
        return;
      case "TEXT_MESSAGE_CONTENT":
        this.#add(id, event.delta);
        return;
      case "TEXT_MESSAGE_CHUNK":
        if (id !== undefined) this.#lastChunk = id;
        if (!this.#byId.has(this.#lastChunk)) this.#begin(this.#lastChunk, event);
        this.#add(this.#lastChunk, event.delta);
    }
  }

  /** Adds a whole message, unless there is one with its id. */
  put(message: unknown): void {
    if (!isFields(message)) return;
    const { id, role, content } = message;
    const key = typeof id === "string" ? id : `#${this.#byId.size}`;
    if (typeof role !== "string" || this.#byId.has(key)) return;
    this.#byId.set(key, { role, text: "" });
    this.#add(key, textOf(content));
  }

  read(): Pick<RunFacts, "userText" | "texts"> {
    const shown = [...this.#byId.values()].filter(({ text }) => text !== "");
    const userText = shown.find(({ role }) => role === "user")?.text ?? null;
    const isTalk = (role: string) => role === "user" || role === "assistant";
    return { userText, texts: shown.filter(({ role }) => isTalk(role)).map(({ text }) => text) };
  }

  #begin(id: string, event: EventLike): void {
    const role = stringField(event, "role") ?? "assistant";
    if (!this.#byId.has(id)) this.#byId.set(id, { role, text: "" });
  }

  #add(id: string | undefined, delta: unknown): void {
    const message = id === undefined ? undefined : this.#byId.get(id);
    if (message === undefined || typeof delta !== "string") return;
    const added = delta.slice(0, Math.max(0, MAX_TEXT - this.#length));
    message.text += added;
    this.#length += added.length;
  }
}

/** The text of a message's content: the content itself, or its parts that are texts. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  const parts = content as readonly unknown[];
  const texts = parts.map((part) => (isFields(part) && part.type === "text" ? part.text : ""));
  return texts.filter((text) => typeof text === "string" && text !== "").join(" ");
}
