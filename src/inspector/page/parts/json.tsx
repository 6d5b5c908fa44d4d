import { useState } from "react";
import { count, number } from "../format.ts";
import "./json.css";

/** Values of a list or an object that are shown at once. */
const PART = 100;
/** Characters of a text that are shown at once. */
const LONG_TEXT = 4000;

interface Props {
  readonly value: unknown;
  /** The name of the field that holds it. */
  readonly name?: string;
  /** Levels that are open at first. */
  readonly depth?: number;
}

/** A value as a tree whose nodes fold. What is folded is not in the document. */
export function Json({ value, name, depth = 1 }: Props) {
  const label = name === undefined ? null : <span className="json-name">{name}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <div className="json">
        {label}
        <Scalar value={value} />
      </div>
    );
  }
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const entries = Object.entries(value);
  if (entries.length === 0) {
    return (
      <div className="json">
        {label}
        <span className="json-mark">
          {open}
          {close}
        </span>
      </div>
    );
  }
  const marks = { open, close, isList: Array.isArray(value) };
  return <Node label={label} entries={entries} depth={depth} {...marks} />;
}

interface NodeProps {
  readonly label: React.ReactNode;
  readonly entries: readonly (readonly [string, unknown])[];
  readonly open: string;
  readonly close: string;
  readonly isList: boolean;
  readonly depth: number;
}

function Node({ label, entries, open, close, isList, depth }: NodeProps) {
  const [isOpen, setOpen] = useState(depth > 0);
  const [shown, setShown] = useState(PART);
  const rest = entries.length - shown;
  return (
    <details className="json" open={isOpen} onToggle={(event) => toggled(event, setOpen)}>
      <summary>
        {label}
        <span className="json-mark">
          {open}
          {isOpen ? "" : ` ${count(entries.length, isList ? "item" : "field")} ${close}`}
        </span>
      </summary>
      {isOpen ? (
        <>
          <div className="json-fields">
            {entries.slice(0, shown).map(([name, value]) => (
              <Json key={name} name={name} value={value} depth={depth - 1} />
            ))}
            {rest > 0 ? (
              <button type="button" className="plain small" onClick={() => setShown(shown * 10)}>
                {number(rest)} more
              </button>
            ) : null}
          </div>
          <span className="json-mark">{close}</span>
        </>
      ) : null}
    </details>
  );
}

/** Toggle events of nodes within do not count. */
function toggled(
  event: React.SyntheticEvent<HTMLDetailsElement>,
  setOpen: (open: boolean) => void,
): void {
  if (event.target === event.currentTarget) setOpen(event.currentTarget.open);
}

function Scalar({ value }: { readonly value: unknown }) {
  const [isWhole, setWhole] = useState(false);
  if (typeof value !== "string") {
    const kind = value === null || value === undefined ? "json-null" : "json-number";
    return <span className={kind}>{String(value)}</span>;
  }
  const rest = isWhole ? 0 : value.length - LONG_TEXT;
  return (
    <>
      <span className="json-text">
        {JSON.stringify(rest > 0 ? value.slice(0, LONG_TEXT) : value)}
      </span>
      {rest > 0 ? (
        <button type="button" className="plain small" onClick={() => setWhole(true)}>
          {count(rest, "more character")}
        </button>
      ) : null}
    </>
  );
}
