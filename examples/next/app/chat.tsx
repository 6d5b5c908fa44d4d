"use client";

import { CopilotChat, CopilotKitProvider } from "@copilotkit/react-core/v2";
import { useState } from "react";
import { ThreadList } from "./thread-list";

interface Props {
  readonly user: string;
  readonly firstThread: string;
}

/** CopilotKit's own chat, on the thread that the address names. */
export function Chat({ user, firstThread }: Props) {
  const [threadId, setThreadId] = useState(firstThread);
  const open = (id: string) => {
    // A reload opens the same thread again.
    history.replaceState(null, "", `/?${new URLSearchParams({ thread: id })}`);
    setThreadId(id);
  };
  return (
    <CopilotKitProvider runtimeUrl="/api/copilotkit" enableInspector={false}>
      <div className="chat">
        <aside>
          <ThreadList threadId={threadId} onOpen={open} />
          <form method="post" action="/logout">
            <span>{user}</span>
            <button type="submit">Log out</button>
          </form>
        </aside>
        <main>
          <CopilotChat key={threadId} agentId="default" threadId={threadId} />
        </main>
      </div>
    </CopilotKitProvider>
  );
}
