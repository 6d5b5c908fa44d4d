import { useMemo } from "react";
import { wordDifference } from "./word-difference.ts";

/** What differs between two texts, word by word, folded. */
export function TextDifference({
  before,
  after,
}: {
  readonly before: string;
  readonly after: string;
}) {
  const parts = useMemo(() => wordDifference(before, after), [before, after]);
  if (before === after) return <p className="muted note">The texts are the same.</p>;
  if (parts === null) return <p className="muted note">The texts are too long to be compared.</p>;
  return (
    <details className="folded note">
      <summary>Word by word</summary>
      <p className="words">
        {parts.map(({ kind, text }, at) => {
          const Tag = TAGS[kind];
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts are never moved.
          return <Tag key={at}>{text}</Tag>;
        })}
      </p>
    </details>
  );
}

const TAGS = { same: "span", removed: "del", added: "ins" } as const;
