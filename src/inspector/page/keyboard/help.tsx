import "./help.css";
import { useEffect, useRef } from "react";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Search threads; in the events: filter by text"],
  ["j  k", "Next or previous row of the list in use"],
  ["Enter", "Open the row"],
  ["1 … 6", "Conversation, runs, timeline, events, state, compare"],
  ["[  ]", "Earlier or later run"],
  ["t  m", "To the list of threads, to the list in the thread"],
  ["i", "Instances"],
  ["Esc", "Close what is open, or clear the search"],
  ["?", "This help"],
];

/** The keys of the page, in a dialog. */
export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="help" aria-labelledby="help-title" onClose={onClose}>
      <h2 id="help-title">Keyboard</h2>
      <dl>
        {KEYS.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              {keys.split("  ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
