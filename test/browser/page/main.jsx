import { CopilotChat, CopilotKitProvider, useThreads } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";
import { ThreadList as DocumentedList } from "docs:thread-list.jsx";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import "./page.css";

const query = new URLSearchParams(location.search);
const runtimeUrl = query.get("runtimeUrl") ?? "/api/copilotkit";
const token = query.get("token");
const headers = token === null ? {} : { authorization: `Bearer ${token}` };

function App() {
  const [threadId, setThreadId] = useState(query.get("threadId") ?? "first");
  return (
    <CopilotKitProvider
      runtimeUrl={runtimeUrl}
      headers={headers}
      useSingleEndpoint={query.has("single") ? true : undefined}
      enableInspector={false}
    >
      <aside>
        {query.has("documented") ? (
          <DocumentedList onOpen={setThreadId} />
        ) : (
          <ThreadList threadId={threadId} onOpen={setThreadId} />
        )}
      </aside>
      <main>
        <CopilotChat key={threadId} agentId="default" threadId={threadId} />
      </main>
    </CopilotKitProvider>
  );
}

/** A list of threads as an application makes one with the hook alone. */
function ThreadList({ threadId, onOpen }) {
  const [includeArchived, setIncludeArchived] = useState(false);
  const [newId, setNewId] = useState("");
  const [failure, setFailure] = useState("");
  const list = useThreads({ agentId: "default", limit: 2, includeArchived });
  const attempt = (change) => () =>
    change().catch((error) => setFailure(String(error?.message ?? error)));

  return (
    <section data-testid="threads" data-loading={list.isLoading} data-mutating={list.isMutating}>
      <h1>Threads</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onOpen(newId);
        }}
      >
        <input aria-label="id" value={newId} onChange={(event) => setNewId(event.target.value)} />
        <button type="submit">Open</button>
      </form>
      <label>
        <input
          type="checkbox"
          checked={includeArchived}
          onChange={(event) => setIncludeArchived(event.target.checked)}
        />
        with archived
      </label>
      <ul>
        {list.threads.map(({ id, name, archived }) => (
          <li key={id} data-thread={id} data-archived={archived} data-open={id === threadId}>
            <button type="button" className="name" onClick={() => onOpen(id)}>
              {name ?? "Untitled"}
            </button>
            <span className="actions">
              <button
                type="button"
                onClick={attempt(() => list.renameThread(id, `${name}, renamed`))}
              >
                Rename
              </button>
              {archived ? (
                <button type="button" onClick={attempt(() => list.unarchiveThread(id))}>
                  Unarchive
                </button>
              ) : (
                <button type="button" onClick={attempt(() => list.archiveThread(id))}>
                  Archive
                </button>
              )}
              <button type="button" onClick={attempt(() => list.deleteThread(id))}>
                Delete
              </button>
            </span>
          </li>
        ))}
      </ul>
      {list.hasMoreThreads && (
        <button type="button" className="more" onClick={() => list.fetchMoreThreads()}>
          More
        </button>
      )}
      <button type="button" className="more" onClick={() => list.refetchThreads()}>
        Refresh
      </button>
      <p role="alert">{list.error?.message ?? failure}</p>
    </section>
  );
}

createRoot(document.getElementById("root")).render(<App />);
