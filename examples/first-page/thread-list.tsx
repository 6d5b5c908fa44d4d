import { useCallback, useEffect, useRef, useState } from "react";
import { ThreadItem } from "./thread-item.tsx";
import { listThreads, type ThreadPage } from "./threads.ts";

interface Props {
  readonly openThread: string;
  /** The list is read again when it changes. */
  readonly change: string;
  /** Null opens a new conversation. */
  readonly onOpen: (threadId: string | null) => void;
}

const NOTHING: ThreadPage = { threads: [], nextCursor: null };

export function ThreadList({ openThread, change, onOpen }: Props) {
  const [page, setPage] = useState(NOTHING);
  const [withArchived, setWithArchived] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  const latest = useRef(0);
  const read = useCallback(async () => {
    latest.current += 1;
    const mine = latest.current;
    try {
      const first = await listThreads(withArchived, null);
      // Answers may overtake each other.
      if (mine === latest.current) setPage(first);
    } catch {
      // The page says already that the server is gone, and reads the list when it is back.
    }
  }, [withArchived]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `change` says when to read again.
  useEffect(() => {
    void read();
    addEventListener("focus", read);
    return () => removeEventListener("focus", read);
  }, [read, change]);

  const more = async () => {
    const next = await listThreads(withArchived, page.nextCursor);
    setPage({ ...next, threads: [...page.threads, ...next.threads] });
  };
  const act = async (action: () => Promise<void>) => {
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    await read();
  };

  return (
    <>
      <div className="list-head">
        <h2>Conversations</h2>
        <button type="button" className="primary" onClick={() => onOpen(null)}>
          New
        </button>
      </div>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {page.threads.length === 0 && <p className="empty">None yet.</p>}
      <ul className="threads">
        {page.threads.map((thread) => (
          <ThreadItem
            key={thread.id}
            thread={thread}
            isOpen={thread.id === openThread}
            onOpen={() => onOpen(thread.id)}
            onDeleted={() => thread.id === openThread && onOpen(null)}
            act={act}
          />
        ))}
      </ul>
      {page.nextCursor !== null && (
        <button type="button" className="quiet" onClick={() => void act(more)}>
          More
        </button>
      )}
      <div className="list-foot">
        <label>
          <input
            type="checkbox"
            checked={withArchived}
            onChange={(event) => setWithArchived(event.target.checked)}
          />
          Show archived
        </label>
        <p>
          You are a random id in a cookie. That is no login: an application takes the user from its
          own.
        </p>
      </div>
    </>
  );
}
