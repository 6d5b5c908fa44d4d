import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import type { Conversation, View } from "./conversation.ts";

interface Props {
  readonly conversation: Conversation;
  readonly view: View;
  readonly isGone: boolean;
  readonly onSend: (text: string) => void;
}

export function Composer({ conversation, view, isGone, onSend }: Props) {
  const [text, setText] = useState("");
  const box = useRef<HTMLTextAreaElement>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever opens a thread goes on writing.
  useEffect(() => box.current?.focus(), [conversation]);

  useEffect(() => {
    if (view.unsent !== null) setText(view.unsent);
  }, [view.unsent]);

  const canSend = text.trim() !== "" && !view.isStreaming && !isGone;
  const send = () => {
    if (!canSend) return;
    onSend(text.trim());
    setText("");
  };
  const onKey = (event: KeyboardEvent) => {
    // Enter also ends the composition of a character.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={box}
        rows={1}
        aria-label="Message"
        placeholder="Message"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKey}
      />
      {view.isAnswering ? (
        <button type="button" className="primary" onClick={() => conversation.stop()}>
          Stop
        </button>
      ) : (
        <button type="submit" className="primary" disabled={!canSend}>
          Send
        </button>
      )}
    </form>
  );
}
