import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";

interface Props {
  readonly label: string;
  readonly count: number;
  /** CSS pixels. */
  readonly rowHeight: number;
  /** Whether rows may be higher than `rowHeight`: they are then measured. */
  readonly measured?: boolean;
  /** The row that is open, or -1. */
  readonly selected?: number;
  /** One row. Its control (a link or a button) spreads `control`, so that the keyboard finds it. */
  readonly row: (index: number, control: RowControl) => ReactNode;
  readonly rowKey?: (index: number) => string | number;
  /** Told which rows are shown, the last one included. */
  readonly onShown?: (first: number, last: number) => void;
  /** Told about a row that the keyboard has moved to. */
  readonly onMove?: ((index: number) => void) | undefined;
  /** Whether the list begins at its end, and stays there while it grows. */
  readonly follows?: boolean;
  readonly name?: string;
}

export interface RowControl {
  readonly tabIndex: 0 | -1;
  readonly "data-control": true;
}

const PAGE = 10;
const MOVES: Readonly<Record<string, (at: number, count: number) => number>> = {
  j: (at) => at + 1,
  k: (at) => at - 1,
  ArrowDown: (at) => at + 1,
  ArrowUp: (at) => at - 1,
  PageDown: (at) => at + PAGE,
  PageUp: (at) => at - PAGE,
  Home: () => 0,
  End: (_, count) => count - 1,
};

/**
 * A list of any length, of which only the rows in view are in the document. Tab reaches one row, and the
 * keyboard moves from there: j, k, the arrows, Page Up and Down, Home, End.
 */
export function VirtualList(props: Props) {
  const { label, count, rowHeight, measured = false, selected = -1, row, onShown, name } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState(Math.max(selected, 0));
  const at = Math.min(cursor, Math.max(count - 1, 0));
  const rows = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    ...(props.rowKey === undefined ? {} : { getItemKey: props.rowKey }),
    ...(props.follows === true ? { anchorTo: "end" as const, followOnAppend: true } : {}),
    // The row with the focus stays, however far the list is scrolled.
    rangeExtractor: (range) => {
      const indexes = defaultRangeExtractor(range);
      return indexes.includes(at) || at >= count ? indexes : [...indexes, at].sort((a, b) => a - b);
    },
  });
  const items = rows.getVirtualItems();
  const { startIndex: first, endIndex: last } = rows.range ?? { startIndex: 0, endIndex: 0 };

  useEffect(() => onShown?.(first, last), [onShown, first, last]);
  const isEnding = props.follows === true;
  useEffect(() => {
    if (isEnding) rows.scrollToEnd();
  }, [isEnding, rows]);
  const selectedKey = selected < 0 ? null : (props.rowKey?.(selected) ?? selected);
  // Not when only its place has changed: the list would move under the reader's hand.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above.
  useEffect(() => {
    if (selectedKey === null) return;
    setCursor(selected);
    rows.scrollToIndex(selected);
  }, [selectedKey]);

  function onKeyDown(event: KeyboardEvent<HTMLElement>) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !isControl(target)) return;
    const move = MOVES[event.key];
    if (move === undefined || count === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.min(Math.max(move(indexOf(target) ?? at, count), 0), count - 1);
    flushSync(() => setCursor(next));
    rows.scrollToIndex(next);
    controlOf(scroller.current, next)?.focus({ preventScroll: true });
    props.onMove?.(next);
  }

  return (
    <div ref={scroller} className="scroller" data-list={name}>
      <ul
        aria-label={label}
        className="virtual"
        style={{ height: rows.getTotalSize() }}
        onKeyDown={onKeyDown}
      >
        {items.map(({ key, index, start }) => (
          <li
            key={key}
            ref={measured ? rows.measureElement : undefined}
            data-index={index}
            aria-setsize={count}
            aria-posinset={index + 1}
            style={{
              transform: `translateY(${start}px)`,
              ...(measured ? {} : { height: rowHeight }),
            }}
            onFocus={() => setCursor(index)}
          >
            {row(index, { tabIndex: index === at ? 0 : -1, "data-control": true })}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Gives the focus to the row of a list that Tab would reach. False if there is no such list or row. */
export function focusList(name: string): boolean {
  const list = document.querySelector(`[data-list="${name}"]`);
  const control = list?.querySelector<HTMLElement>('[data-control][tabindex="0"]') ?? null;
  control?.focus({ preventScroll: true });
  // What is hidden does not get the focus.
  return control !== null && control === document.activeElement;
}

function isControl(target: EventTarget): target is HTMLElement {
  return target instanceof HTMLElement && target.dataset.control !== undefined;
}

function indexOf(control: HTMLElement): number | undefined {
  const row = control.closest<HTMLElement>("[data-index]");
  return row === null ? undefined : Number(row.dataset.index);
}

function controlOf(list: HTMLElement | null, index: number): HTMLElement | null {
  return list?.querySelector<HTMLElement>(`[data-index="${index}"] [data-control]`) ?? null;
}
