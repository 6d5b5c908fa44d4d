import "./differences.css";
import { useMemo } from "react";
import { count } from "../format.ts";
import { differences } from "./differences.ts";
import { Json } from "./json.tsx";

interface Props {
  readonly before: unknown;
  readonly after: unknown;
  readonly labels: readonly [before: string, after: string];
  /** What is said where there is no difference. */
  readonly same: string;
}

const LIMIT = 300;

/** Where two values differ, place by place. */
export function DifferenceList({ before, after, labels, same }: Props) {
  const found = useMemo(() => differences(before, after, LIMIT), [before, after]);
  if (found.length === 0) return <p className="muted">{same}</p>;
  return (
    <>
      <table className="differences">
        <thead>
          <tr>
            <th scope="col">Place</th>
            <th scope="col">{labels[0]}</th>
            <th scope="col">{labels[1]}</th>
          </tr>
        </thead>
        <tbody>
          {found.map(({ path, before: old, after: next }) => (
            <tr key={path}>
              <th scope="row">
                <code>{path === "" ? "(all)" : path}</code>
              </th>
              <td className={old === undefined ? "" : "removed"}>
                <Part value={old} />
              </td>
              <td className={next === undefined ? "" : "added"}>
                <Part value={next} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.length === LIMIT ? (
        <p className="muted">Only the first {count(LIMIT, "place")} are shown.</p>
      ) : null}
    </>
  );
}

function Part({ value }: { readonly value: unknown }) {
  return value === undefined ? <span className="muted">–</span> : <Json value={value} depth={0} />;
}
