"use client";

import { useAgent, useThreads } from "@copilotkit/react-core/v2";
import { useEffect } from "react";

interface Props {
  readonly threadId: string;
  readonly onOpen: (threadId: string) => void;
}

export function ThreadList({ threadId, onOpen }: Props) {
  const list = useThreads({ agentId: "default", limit: 20 });
  const { refetchThreads } = list;
  const { agent } = useAgent({ agentId: "default" });

  // A thread is in the list after its first run. The server sends no updates of the list.
  useEffect(() => {
    const { unsubscribe } = agent.subscribe({ onRunFinalized: () => refetchThreads() });
    return unsubscribe;
  }, [agent, refetchThreads]);

  return (
    <nav aria-label="Conversations">
      <button type="button" onClick={() => onOpen(crypto.randomUUID())}>
        New
      </button>
      <ul>
        {list.threads.map(({ id, name }) => (
          <li key={id} className={id === threadId ? "open" : ""}>
            <button
              type="button"
              className="title"
              aria-current={id === threadId ? "page" : undefined}
              onClick={() => onOpen(id)}
            >
              {name ?? "Untitled"}
            </button>
            <button
              type="button"
              onClick={() => list.renameThread(id, prompt("Title") || (name ?? ""))}
            >
              Rename
            </button>
            <button type="button" onClick={() => list.archiveThread(id)}>
              Archive
            </button>
            <button type="button" onClick={() => list.deleteThread(id)}>
              Delete
            </button>
          </li>
        ))}
      </ul>
      {list.hasMoreThreads && (
        <button type="button" onClick={() => list.fetchMoreThreads()}>
          More
        </button>
      )}
    </nav>
  );
}
