import { useState } from "react";

/** Copies a text. Says so for a moment. */
export function CopyButton({ text, label }: { readonly text: string; readonly label: string }) {
  const [said, setSaid] = useState("");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // The browser refuses where the page is not in focus, or by policy.
      setSaid("Not allowed");
    }
    setTimeout(() => setSaid(""), 1500);
  }
  return (
    <button type="button" className="plain small" aria-label={label} title={label} onClick={copy}>
      <span aria-live="polite">{said === "" ? "Copy" : said}</span>
    </button>
  );
}
