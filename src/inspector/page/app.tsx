import { useEffect, useState } from "react";
import { Header } from "./header.tsx";
import { Instances } from "./instances/instances.tsx";
import { Help } from "./keyboard/help.tsx";
import { useKeys } from "./keyboard/keys.ts";
import { type Place, usePlace, VIEWS } from "./location.ts";
import { Notice } from "./parts/notice.tsx";
import { focusList } from "./parts/virtual-list.tsx";
import { ThreadPage } from "./thread/thread-page.tsx";
import { Sidebar } from "./threads/sidebar.tsx";

export function App() {
  const place = usePlace();
  const { selection, go } = place;
  const { thread, page } = selection;
  const [isHelpOpen, setHelpOpen] = useState(false);
  useTitle(page === "instances" ? "Instances" : thread);

  useKeys({
    "/": () => focusField("text") || focusField("search"),
    "?": () => setHelpOpen(true),
    j: () => focusList("threads"),
    k: () => focusList("threads"),
    t: () => focusList("threads"),
    m: () => focusList("main"),
    i: () => go({ page: "instances" }),
    // A dialog closes by itself.
    escape: () => !isHelpOpen && leave(place),
    ...Object.fromEntries(
      VIEWS.map((view, at) => [String(at + 1), () => thread !== undefined && go({ view })]),
    ),
  });

  const isThreadOpen = page === undefined && thread !== undefined;
  return (
    <div className={isThreadOpen ? "app thread-open" : "app"}>
      <Header place={place} onHelp={() => setHelpOpen(true)} />
      {page === "instances" ? (
        <Instances place={place} />
      ) : (
        <div className="threads">
          <Sidebar place={place} />
          <main aria-label="Thread">
            {thread === undefined ? (
              <Notice title="Choose a thread">
                <p>
                  <kbd>j</kbd> <kbd>k</kbd> move in the list, <kbd>Enter</kbd> opens, <kbd>/</kbd>{" "}
                  searches, <kbd>?</kbd> lists all keys.
                </p>
              </Notice>
            ) : (
              <ThreadPage key={thread} threadId={thread} place={place} />
            )}
          </main>
        </div>
      )}
      {isHelpOpen ? <Help onClose={() => setHelpOpen(false)} /> : null}
    </div>
  );
}

/** Closes what is open, the innermost first. */
function leave({ selection, go }: Place): void {
  const { activeElement } = document;
  if (activeElement instanceof HTMLInputElement) activeElement.blur();
  else if (selection.event !== undefined) go({ event: undefined });
  else if (selection.page !== undefined) go({ page: undefined });
  else if (activeElement?.closest('[data-list="threads"]') || !focusList("threads")) {
    go({ thread: undefined });
  }
}

function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title === undefined ? "Inspector" : `${title} · Inspector`;
  }, [title]);
}

/** Goes to the field of a name, if the page has one. */
function focusField(name: string): boolean {
  const field = document.querySelector<HTMLInputElement>(`[data-field="${name}"]`);
  field?.focus();
  field?.select();
  return field !== null;
}
