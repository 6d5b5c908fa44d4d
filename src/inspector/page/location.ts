import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { RunRef } from "../api.ts";

export const VIEWS = ["conversation", "runs", "timeline", "events", "state", "compare"] as const;
export type View = (typeof VIEWS)[number];

/**
 * All that the reader has chosen, as the part of the URL behind "#" has it, in the form of a query. The
 * server never sees it, and ids of threads may hold any characters there.
 */
export interface Selection {
  /** "instances", or else the threads. */
  readonly page?: string;
  /** The filters of the list of threads. */
  readonly search?: string;
  readonly agent?: string;
  readonly resource?: string;
  readonly status?: string;
  readonly archived?: string;
  readonly order?: string;
  /** The open thread, and how it is shown. */
  readonly thread?: string;
  readonly view?: string;
  /** A run: see `refText`. */
  readonly run?: string;
  /** The run with which `run` is compared. */
  readonly against?: string;
  /** The index of an event in its run, and the filters of the events. */
  readonly event?: string;
  readonly types?: string;
  readonly text?: string;
}

/** Undefined takes a choice away. */
export type Change = { readonly [Name in keyof Selection]?: Selection[Name] | undefined };

/** What belongs to one run or one thread, and is dropped when another is opened. */
export const OTHER_RUN: Change = { event: undefined };
export const OTHER_THREAD: Change = {
  ...OTHER_RUN,
  run: undefined,
  against: undefined,
  types: undefined,
  text: undefined,
};

export interface Place {
  readonly selection: Selection;
  /** The URL of the selection with a change. */
  readonly href: (change: Change) => string;
  /** Goes there. `replace` leaves no step in the history: for what changes with every key. */
  readonly go: (change: Change, options?: { readonly replace?: boolean }) => void;
}

export function usePlace(): Place {
  const hash = useSyncExternalStore(subscribe, currentHash);
  const selection = useMemo<Selection>(() => Object.fromEntries(paramsOf(hash)), [hash]);
  const href = useCallback((change: Change) => hrefOf(hash, change), [hash]);
  return { selection, href, go };
}

/** How the open thread is shown. */
export function viewOf({ view }: Selection): View {
  return VIEWS.find((known) => known === view) ?? "conversation";
}

/** A run in a URL, such as "12:run-id". */
export function refText({ epoch, runId }: RunRef): string {
  return `${epoch}:${runId}`;
}

export function refOf(text: string | undefined): RunRef | undefined {
  const [, epoch, runId] = /^(\d{1,15}):(.*)$/s.exec(text ?? "") ?? [];
  return runId === undefined ? undefined : { epoch: Number(epoch), runId };
}

/** A whole number of the URL, or undefined. */
export function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function go(change: Change, { replace = false }: { readonly replace?: boolean } = {}): void {
  // From the URL itself: several changes may be made before the page is drawn again.
  const url = hrefOf(currentHash(), change);
  if (url === currentHash()) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  // The browser tells nobody about the two calls above.
  dispatchEvent(new Event(MOVED));
}

const MOVED = "inspector:moved";

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  addEventListener(MOVED, listener);
  return () => {
    removeEventListener("hashchange", listener);
    removeEventListener(MOVED, listener);
  };
}

const currentHash = () => location.hash;

function paramsOf(hash: string): URLSearchParams {
  return new URLSearchParams(hash.replace(/^#/, ""));
}

function hrefOf(hash: string, change: Change): string {
  const params = paramsOf(hash);
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined || value === "") params.delete(name);
    else params.set(name, value);
  }
  return `#${params}`;
}
