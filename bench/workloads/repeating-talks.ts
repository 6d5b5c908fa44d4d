import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import { prose } from "./prose.ts";

/** One turn of a talk: what the client sends, and what the agent emits. */
export interface TalkTurn {
  readonly input: RunAgentInput;
  readonly events: readonly BaseEvent[];
}

/** A talk whose turns hold much of what the turns before them held. */
export interface RepeatingTalk {
  readonly name: string;
  readonly turns: (count: number) => Generator<TalkTurn>;
  /** UTF-16 units of JSON in a talk of so many turns when each thing that is said or sent counts once. */
  readonly saidIn: (count: number) => number;
}

type Message = RunAgentInput["messages"][number];

/** Base64 without a pattern. */
function image(bytes: number): string {
  let state = 42;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
  return Buffer.from(Uint8Array.from({ length: bytes }, next)).toString("base64");
}

const idsOf = (turn: number) => ({ threadId: "talk", runId: `run-${turn}` });

const question = (turn: number): Message => ({
  id: `question-${turn}`,
  role: "user",
  content: prose(2 * turn, 260),
});

const answer = (turn: number): Message => ({
  id: `answer-${turn}`,
  role: "assistant",
  content: prose(2 * turn + 1, 860),
});

/** A message as a graph keeps it in its state. */
function inState({ id, role, content }: Message): object {
  return role === "user"
    ? { content, additional_kwargs: {}, type: "human", name: null, id }
    : { content, additional_kwargs: {}, type: "ai", name: null, id, tool_calls: [] };
}

const event = (type: string, fields: object): BaseEvent => ({ type, ...fields }) as BaseEvent;

/** The events of an answer, with `snapshots` before the run ends. */
function* answering(turn: number, snapshots: readonly BaseEvent[]): Generator<BaseEvent> {
  const { id: messageId, content } = answer(turn);
  yield event("RUN_STARTED", idsOf(turn));
  yield event("TEXT_MESSAGE_START", { messageId, role: "assistant" });
  for (const delta of String(content).match(/\S+\s*/g) ?? []) {
    yield event("TEXT_MESSAGE_CONTENT", { messageId, delta });
  }
  yield event("TEXT_MESSAGE_END", { messageId });
  yield* snapshots;
  yield event("RUN_FINISHED", idsOf(turn));
}

const inputOf = (
  turn: number,
  messages: RunAgentInput["messages"],
  fields: Partial<RunAgentInput>,
): RunAgentInput => ({
  ...idsOf(turn),
  state: {},
  messages,
  tools: [],
  context: [],
  forwardedProps: {},
  ...fields,
});

/** The messages of a talk up to a turn: its question is the last one. */
function messagesUpTo(turn: number, first: Message): RunAgentInput["messages"] {
  const messages: Message[] = [];
  for (let at = 1; at <= turn; at++) {
    messages.push(at === 1 ? first : question(at));
    if (at < turn) messages.push(answer(at));
  }
  return messages;
}

const lengthOf = (value: unknown): number => JSON.stringify(value).length;

const saidBy = (count: number, first: Message): number =>
  lengthOf([...messagesUpTo(count, first), answer(count)]);

const stateOf = (messages: RunAgentInput["messages"], step: number) => ({
  remaining_steps: 1000 - step,
  messages: messages.map(inState),
  step,
  summary: null,
});

/** An agent that keeps all messages in its state, and emits both in each run; the client sends the state back. */
const graph: RepeatingTalk = {
  name: "state and messages in snapshots",
  *turns(count) {
    const first = question(1);
    let state = {};
    for (let turn = 1; turn <= count; turn++) {
      const messages = messagesUpTo(turn, first);
      const input = inputOf(turn, messages, { state });
      const after = [...messages, answer(turn)];
      state = stateOf(after, turn);
      const snapshots = [
        event("MESSAGES_SNAPSHOT", { messages: after }),
        event("STATE_SNAPSHOT", { snapshot: state }),
      ];
      yield { input, events: [...answering(turn, snapshots)] };
    }
  },
  saidIn: (count) => saidBy(count, question(1)),
};

const TOOLS: RunAgentInput["tools"] = Array.from({ length: 40 }, (_, at) => ({
  name: `tool-${at}`,
  description: prose(1_000_000 + at, 500),
  parameters: { type: "object", properties: { place: { type: "string" } } },
}));

const CONTEXT: RunAgentInput["context"] = Array.from({ length: 50 }, (_, at) => ({
  description: `page ${at}`,
  value: prose(2_000_000 + at, 2000),
}));

/** A client that sends 40 tools and 100 kB of context with each run. */
const tools: RepeatingTalk = {
  name: "tools and context in inputs",
  *turns(count) {
    const first = question(1);
    for (let turn = 1; turn <= count; turn++) {
      const fields = { tools: TOOLS, context: CONTEXT };
      const input = inputOf(turn, messagesUpTo(turn, first), fields);
      yield { input, events: [...answering(turn, [])] };
    }
  },
  saidIn: (count) => saidBy(count, question(1)) + lengthOf(TOOLS) + lengthOf(CONTEXT),
};

/** A talk that begins with an image of 3 MB, which is in each snapshot of the messages. */
const attachment: RepeatingTalk = {
  name: "an image in snapshots",
  *turns(count) {
    const first = pictured();
    for (let turn = 1; turn <= count; turn++) {
      const messages = messagesUpTo(turn, first);
      const snapshot = event("MESSAGES_SNAPSHOT", { messages: [...messages, answer(turn)] });
      yield { input: inputOf(turn, messages, {}), events: [...answering(turn, [snapshot])] };
    }
  },
  saidIn: (count) => saidBy(count, pictured()),
};

let picture: string | undefined;

/** A question about an image. */
function pictured(): Message {
  picture ??= image((3 * 1024 * 1024 * 3) / 4);
  const source = { type: "data", value: picture, mimeType: "image/png" } as const;
  const { content, ...rest } = question(1);
  return {
    ...rest,
    content: [
      { type: "text", text: content },
      { type: "image", source },
    ],
  } as Message;
}

export const REPEATING_TALKS: readonly RepeatingTalk[] = [graph, tools, attachment];
