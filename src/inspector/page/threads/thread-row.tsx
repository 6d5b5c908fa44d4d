import type { ThreadSummary } from "../../api.ts";
import { ago, count, size, time } from "../format.ts";
import { StatusDot, statusOfThread } from "../parts/status.tsx";
import type { RowControl } from "../parts/virtual-list.tsx";

interface Props {
  readonly thread: ThreadSummary;
  readonly href: string;
  readonly isOpen: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly control: RowControl;
}

/** CSS pixels. */
export const THREAD_ROW = 52;

/** A thread in the list: a link to it. */
export function ThreadRow({ thread, href, isOpen, now, control }: Props) {
  const { id, title, agentId, archived, runs, bytes, updatedAt } = thread;
  const facts = [agentId, count(runs, "run"), size(bytes), archived ? "archived" : null];
  return (
    <a
      className="thread-row"
      href={href}
      aria-current={isOpen ? "true" : undefined}
      title={`${title ?? id}\n${id}\nupdated ${time(updatedAt)}`}
      {...control}
    >
      <StatusDot status={statusOfThread(thread)} />
      <span className="ellipsis title">{title ?? id}</span>
      <span className="muted when">{ago(updatedAt, now)}</span>
      <span className="ellipsis muted facts">
        {facts.filter((fact) => fact !== null).join(" · ")}
      </span>
    </a>
  );
}
