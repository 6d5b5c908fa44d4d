import type { Message } from "@ag-ui/core";
import { useLayoutEffect, useRef } from "react";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { textOf, type View } from "./conversation.ts";

const QUESTIONS = [
  "What happens to my thread when the server is killed?",
  "Does my page miss anything when it reloads during an answer?",
  "Can I stop a run while it is under way?",
];
/** Nearer to the end than this, the reader follows the answer. */
const NEAR_END = 80;

interface Props {
  readonly view: View;
  readonly onAsk: (question: string) => void;
}

export function Messages({ view, onAsk }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const { messages, isAnswering, isStreaming } = view;
  const last = messages.at(-1);
  const speaks = last?.role === "assistant" && textOf(last) !== "";

  // biome-ignore lint/correctness/useExhaustiveDependencies: each new view may be longer.
  useLayoutEffect(() => {
    if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [view]);

  const onScroll = () => {
    const element = box.current;
    if (element === null) return;
    const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
    follows.current = rest < NEAR_END;
  };

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls what it can focus.
    <section className="scroll" ref={box} onScroll={onScroll} aria-label="Messages" tabIndex={0}>
      {messages.length === 0 && !isStreaming && <Welcome onAsk={onAsk} />}
      <div className="messages" role="log" aria-busy={isAnswering}>
        {messages.map((message) => (
          <MessageItem key={message.id} message={message} messages={messages} />
        ))}
        {isAnswering && (
          <p className="thinking">
            <span className="pulse" aria-hidden="true" />
            {speaks ? "Answering" : "Working"}
          </p>
        )}
      </div>
    </section>
  );
}

function Welcome({ onAsk }: Pick<Props, "onAsk">) {
  return (
    <div className="welcome">
      <h2>Ask something, then break it.</h2>
      <p>
        This agent answers without a key and without a network. Every event of its answer is stored
        while it streams, so a conversation survives what the buttons below do to it.
      </p>
      <ul>
        {QUESTIONS.map((question) => (
          <li key={question}>
            <button type="button" onClick={() => onAsk(question)}>
              {question}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface ItemProps {
  readonly message: Message;
  readonly messages: readonly Message[];
}

function MessageItem({ message, messages }: ItemProps) {
  const text = textOf(message);
  switch (message.role) {
    case "user":
      return (
        <article className="user" aria-label="You">
          {text}
        </article>
      );
    case "reasoning":
      return (
        <details className="step">
          <summary>Thought about it</summary>
          <p>{text}</p>
        </details>
      );
    case "assistant":
      return (
        <>
          {text !== "" && (
            <article className="assistant" aria-label="Agent">
              <Markdown remarkPlugins={[remarkGfm]} components={MARKDOWN}>
                {text}
              </Markdown>
            </article>
          )}
          {message.toolCalls?.map((call) => (
            <ToolCall
              key={call.id}
              name={call.function.name}
              args={call.function.arguments}
              result={resultOf(call.id, messages)}
            />
          ))}
        </>
      );
    default:
      return null; // Results are shown with their calls.
  }
}

interface ToolCallProps {
  readonly name: string;
  readonly args: string;
  readonly result: string | null;
}

function ToolCall({ name, args, result }: ToolCallProps) {
  return (
    <details className="step">
      <summary>
        {result === null ? "Calls" : "Called"} <code>{name}</code>
      </summary>
      <h3>Arguments</h3>
      <pre>{indented(args)}</pre>
      {result !== null && (
        <>
          <h3>Result</h3>
          <pre>{indented(result)}</pre>
        </>
      )}
    </details>
  );
}

function resultOf(toolCallId: string, messages: readonly Message[]): string | null {
  const result = messages.find(
    (message) => message.role === "tool" && message.toolCallId === toolCallId,
  );
  return result === undefined ? null : textOf(result);
}

/** Arguments may still be arriving. */
function indented(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

/** A link of an answer opens beside the page, and does not learn where it was. */
const MARKDOWN: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  ),
};
