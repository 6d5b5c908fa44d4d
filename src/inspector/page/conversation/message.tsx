import { memo, useState } from "react";
import type { Message } from "../../api.ts";
import { parsed, size } from "../format.ts";
import { Json } from "../parts/json.tsx";
import { Markdown } from "../parts/markdown.tsx";
import { type Call, callsOf, roleOf, short, textOf } from "./text-of.ts";

interface Props {
  readonly message: Message;
  /** The name of the tool whose result it is, where that is known. */
  readonly toolName?: string | undefined;
}

/** A message of a conversation. */
export const MessageView = memo(function MessageView({ message, toolName }: Props) {
  const role = roleOf(message);
  const text = textOf(message);
  if (role === "tool") {
    const { error } = message;
    const isError = typeof error === "string" && error !== "";
    return (
      <Folded
        className={isError ? "result failed" : "result"}
        name={toolName ?? "result"}
        kind="returned"
        text={isError ? error : text}
      />
    );
  }
  if (role === "reasoning")
    return <Folded className="reasoning" name="Reasoning" text={text} isProse />;
  if (role === "activity") return <Activity message={message} />;
  const calls = callsOf(message);
  return (
    <article className={`message ${role === "user" ? "user" : ""}`}>
      <header>{role}</header>
      {text === "" && calls.length > 0 ? null : <Markdown text={text} />}
      {text === "" && calls.length === 0 ? <p className="muted">(no text)</p> : null}
      {calls.map((call) => (
        <CallView key={call.id} call={call} />
      ))}
    </article>
  );
});

function CallView({ call }: { readonly call: Call }) {
  return <Folded className="call" name={call.name} kind="called" text={call.arguments} />;
}

interface FoldedProps {
  readonly className: string;
  readonly name: string;
  readonly kind?: string;
  readonly text: string;
  /** Whether the text is written for people. */
  readonly isProse?: boolean;
}

/** A part that is one line until it is opened. */
function Folded({ className, name, kind, text, isProse = false }: FoldedProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details
      className={`folded ${className}`}
      onToggle={(event) => {
        if (event.target === event.currentTarget) setOpen(event.currentTarget.open);
      }}
    >
      <summary>
        <span className="name">{name}</span>{" "}
        {kind === undefined ? null : <span className="muted">{kind} </span>}
        <span className="preview">{short(text)}</span>
        {text.length > 500 ? <span className="muted"> {size(text.length)}</span> : null}
      </summary>
      {isOpen ? <Body text={text} isProse={isProse} /> : null}
    </details>
  );
}

function Body({ text, isProse }: Pick<FoldedProps, "text"> & { readonly isProse: boolean }) {
  if (isProse) return <Markdown text={text} />;
  const value = parsed(text);
  return value === undefined ? <pre className="as-it-is">{text}</pre> : <Json value={value} />;
}

function Activity({ message }: { readonly message: Message }) {
  const { activityType, content } = message;
  const name = typeof activityType === "string" ? activityType : "activity";
  return (
    <Folded className="activity" name={name} kind="activity" text={JSON.stringify(content) ?? ""} />
  );
}
