import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type BaseEvent, EventType, type RunAgentInput } from "@ag-ui/core";
import { type RunnableAgent, SqliteAgentRunner } from "../../src/index.ts";
import { prose } from "../workloads/prose.ts";
import { runOnce } from "../workloads/run-once.ts";

/** UTF-16 units of a question and of an answer: with its ids, the events of a run are about 1 kB. */
const QUESTION_LENGTH = 60;
const ANSWER_LENGTH = 240;

/** UTF-16 units of a delta. */
const DELTA_LENGTH = 24;

/** Two words of every talk. They are in the first question, as all of the following are. */
export const COMMON_WORDS = "talk about";

/** Two words of the first talk alone. */
export const RARE_WORDS = "unmistakable landmark";

/** A word of the second talk alone, and one of the third. */
export const SHARE_WORDS = ["hundredth", "separate"] as const;

/** How each talk begins. */
function firstWords(talk: number): string {
  if (talk === 0) return `${COMMON_WORDS} the ${RARE_WORDS}`;
  const word = SHARE_WORDS[talk - 1];
  return word === undefined ? COMMON_WORDS : `${COMMON_WORDS} ${word} things`;
}

/** Talks of `TURNS` turns, and one of `LONG_TURNS` turns, the last. */
export const SHORT_TALKS = 100;
export const TURNS = 20;
export const LONG_TURNS = 500;

/** Answers in prose. Its ids are random UUIDs, as those of CopilotKit's clients and agents are. */
export class ProseAgent implements RunnableAgent {
  readonly agentId = "bench";
  readonly #talk: number;
  #answers = 0;
  /** The last answer. */
  last = { id: "", content: "" };

  /** The talk and its turns decide what is said. */
  constructor(talk: number) {
    this.#talk = talk;
  }

  async runAgent(
    { threadId, runId }: Pick<RunAgentInput, "threadId" | "runId">,
    { onEvent }: { onEvent(params: { event: BaseEvent }): void },
  ): Promise<void> {
    await nextTurn();
    const messageId = randomUUID();
    const content = prose(seedOf(this.#talk, this.#answers++) + 1, ANSWER_LENGTH);
    const emit = (event: BaseEvent) => onEvent({ event });
    emit({ type: EventType.RUN_STARTED, threadId, runId });
    emit({ type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" });
    for (let at = 0; at < content.length; at += DELTA_LENGTH) {
      const delta = content.slice(at, at + DELTA_LENGTH);
      emit({ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta });
    }
    emit({ type: EventType.TEXT_MESSAGE_END, messageId });
    emit({ type: EventType.RUN_FINISHED, threadId, runId });
    this.last = { id: messageId, content };
  }

  abortRun(): void {}
}

/** Seeds of a question and, one higher, of its answer. */
const seedOf = (talk: number, turn: number): number => 2 * (10_000 * talk + turn);

/** One client: it sends all messages of its thread with each turn, as CopilotKit's does. */
async function talk(runner: SqliteAgentRunner, number: number, turns: number): Promise<void> {
  const threadId = randomUUID();
  const agent = new ProseAgent(number);
  const messages: RunAgentInput["messages"] = [];
  for (let turn = 0; turn < turns; turn++) {
    const question = prose(seedOf(number, turn), QUESTION_LENGTH);
    const content = turn === 0 ? `${firstWords(number)}. ${question}` : question;
    messages.push({ id: randomUUID(), role: "user", content });
    const runId = randomUUID();
    const input = { threadId, runId, messages: [...messages] };
    await runOnce(runner, agent, {
      ...{ ...input, state: {}, tools: [], context: [], forwardedProps: {} },
    });
    messages.push({ ...agent.last, role: "assistant" });
  }
}

/** Has the runner store the talks, of which the large file is made of: one thread after the other in the file. */
export async function storeTalks(dbPath: string): Promise<void> {
  const runner = new SqliteAgentRunner({ dbPath });
  for (let number = 0; number < SHORT_TALKS; number++) await talk(runner, number, TURNS);
  await talk(runner, SHORT_TALKS, LONG_TURNS);
  await runner.close();
}
