import { useState } from "react";
import { deleteThread, renameThread, setArchived, type Thread } from "./threads.ts";

interface Props {
  readonly thread: Thread;
  readonly isOpen: boolean;
  readonly onOpen: () => void;
  readonly onDeleted: () => void;
  /** Runs an action, shows what went wrong, and reads the list again. */
  readonly act: (action: () => Promise<void>) => Promise<void>;
}

export function ThreadItem({ thread, isOpen, onOpen, onDeleted, act }: Props) {
  const [mode, setMode] = useState<"shown" | "renaming" | "deleting">("shown");
  const name = thread.name ?? "Untitled";

  if (mode === "renaming") {
    const save = (form: HTMLFormElement) => {
      const title = new FormData(form).get("title");
      setMode("shown");
      void act(() => renameThread(thread.id, String(title ?? "").trim()));
    };
    return (
      <li className="thread">
        <form
          className="rename"
          onSubmit={(event) => {
            event.preventDefault();
            save(event.currentTarget);
          }}
        >
          {/* biome-ignore lint/a11y/noAutofocus: whoever presses Rename writes next. */}
          <input name="title" aria-label="Title" defaultValue={name} maxLength={200} autoFocus />
          <button type="submit">Save</button>
          <button type="button" className="quiet" onClick={() => setMode("shown")}>
            Cancel
          </button>
        </form>
      </li>
    );
  }

  if (mode === "deleting") {
    const remove = async () => {
      await deleteThread(thread.id);
      onDeleted();
    };
    return (
      <li className="thread confirm">
        <p>
          Delete “<span className="name">{name}</span>” for good?
        </p>
        <button type="button" className="danger" onClick={() => void act(remove)}>
          Delete
        </button>
        {/* biome-ignore lint/a11y/noAutofocus: it takes the place of the button that was pressed. */}
        <button type="button" className="quiet" autoFocus onClick={() => setMode("shown")}>
          Keep
        </button>
      </li>
    );
  }

  return (
    <li className={isOpen ? "thread open" : "thread"}>
      <button
        type="button"
        className="title"
        aria-current={isOpen ? "page" : undefined}
        onClick={onOpen}
      >
        <span className="name">{name}</span>
        {thread.archived && <span className="tag">archived</span>}
      </button>
      <div className="actions">
        <button type="button" className="quiet" onClick={() => setMode("renaming")}>
          Rename
        </button>
        <button
          type="button"
          className="quiet"
          onClick={() => void act(() => setArchived(thread.id, !thread.archived))}
        >
          {thread.archived ? "Unarchive" : "Archive"}
        </button>
        <button type="button" className="quiet" onClick={() => setMode("deleting")}>
          Delete
        </button>
      </div>
    </li>
  );
}
