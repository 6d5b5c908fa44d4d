import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { Composer } from "./composer.tsx";
import { Controls } from "./controls.tsx";
import { Conversation } from "./conversation.ts";
import { Messages } from "./messages.tsx";
import { Notices } from "./notices.tsx";
import { ThreadList } from "./thread-list.tsx";
import { useServer, type Watch } from "./use-server.ts";

/** The thread that the address names, or a new one. */
function conversationOfAddress(): Conversation {
  const named = new URLSearchParams(location.search).get("thread");
  return new Conversation(named ?? crypto.randomUUID(), named === null);
}

function addressOf(threadId: string): string {
  return `/?${new URLSearchParams({ thread: threadId })}`;
}

export function App() {
  const [conversation, setConversation] = useState(conversationOfAddress);
  const [isListOpen, setListOpen] = useState(false);
  const view = useSyncExternalStore(conversation.subscribe, () => conversation.view);
  const watch = useServer(conversation);

  useEffect(() => {
    if (conversation.view.isStreaming) void conversation.connect();
    return () => conversation.close();
  }, [conversation]);

  useEffect(() => {
    const onBack = () => setConversation(conversationOfAddress());
    addEventListener("popstate", onBack);
    return () => removeEventListener("popstate", onBack);
  }, []);

  const open = useCallback((threadId: string | null) => {
    history.pushState(null, "", threadId === null ? "/" : addressOf(threadId));
    setConversation(conversationOfAddress());
    setListOpen(false);
  }, []);

  const send = (text: string) => {
    // From now on, a reload finds the thread.
    history.replaceState(null, "", addressOf(conversation.threadId));
    return conversation.send(text);
  };

  return (
    <div className={isListOpen ? "app list-open" : "app"}>
      <aside id="threads" aria-label="Conversations">
        <ThreadList
          openThread={conversation.threadId}
          // Once a run has begun or is stored, titles and order have changed.
          change={`${view.isAnswering} ${view.isStreaming} ${watch.isGone}`}
          onOpen={open}
        />
      </aside>
      <main>
        <header>
          <button
            type="button"
            className="menu"
            aria-expanded={isListOpen}
            aria-controls="threads"
            onClick={() => setListOpen(!isListOpen)}
          >
            Conversations
          </button>
          <h1>durable-agent-runner</h1>
          <ServerLine watch={watch} />
        </header>
        <Messages view={view} onAsk={send} />
        <footer>
          <Notices view={view} watch={watch} onAgain={() => void conversation.answerAgain()} />
          <Composer conversation={conversation} view={view} isGone={watch.isGone} onSend={send} />
          <Controls conversation={conversation} view={view} isGone={watch.isGone} onSend={send} />
        </footer>
      </main>
    </div>
  );
}

function ServerLine({ watch: { server, isGone } }: { watch: Watch }) {
  if (server === null && !isGone) return <p className="server" />;
  const text = server === null ? "No server" : `Process ${server.pid}, port ${server.port}`;
  return (
    <p className={isGone ? "server gone" : "server"}>
      <span className="dot" aria-hidden="true" />
      {isGone ? "The server is gone" : text}
    </p>
  );
}
