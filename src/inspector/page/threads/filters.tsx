import { useEffect, useState } from "react";
import { useTotals } from "../api/queries.ts";
import type { Place, Selection } from "../location.ts";

/** Milliseconds without a key after which the search begins. */
const PAUSE = 200;

const STATUSES = [
  ["", "Any status"],
  ["running", "Running"],
  ["finished", "Finished"],
  ["interrupt", "Waiting for an answer"],
  ["error", "Error or interrupted"],
] as const;
const ARCHIVED = [
  ["", "Archived too"],
  ["false", "Not archived"],
  ["true", "Archived only"],
] as const;
const ORDERS = [
  ["", "Last change"],
  ["created", "Creation"],
] as const;

/** The names of the filters: what is set when they are cleared. */
const FILTERS = ["search", "agent", "resource", "status", "archived"] as const;

export const NO_FILTERS = Object.fromEntries(FILTERS.map((name) => [name, undefined]));

export function isFiltered(selection: Selection): boolean {
  return FILTERS.some((name) => selection[name] !== undefined);
}

export function Filters({ place }: { readonly place: Place }) {
  const { selection } = place;
  const { data: totals } = useTotals();
  const agents = totals?.agents.flatMap(({ agentId }) => agentId ?? []) ?? [];
  const resources = totals?.resources.flatMap(({ resourceId }) => resourceId ?? []) ?? [];
  return (
    <search className="filters">
      <SearchField place={place} />
      <div className="selects">
        <Choice place={place} name="status" label="Status" options={STATUSES} />
        <Choice place={place} name="archived" label="Archived" options={ARCHIVED} />
        <Choice place={place} name="agent" label="Agent" options={named("Any agent", agents)} />
        <Choice
          place={place}
          name="resource"
          label="Resource"
          options={named("Any resource", resources)}
        />
        <Choice place={place} name="order" label="Order" options={ORDERS} />
        {isFiltered(selection) ? (
          <button type="button" className="plain" onClick={() => place.go(NO_FILTERS)}>
            Clear filters
          </button>
        ) : null}
      </div>
    </search>
  );
}

function SearchField({ place: { selection, go } }: { readonly place: Place }) {
  const { search = "" } = selection;
  const [text, setText] = useState(search);
  // The URL may change by itself: a link, or the way back.
  useEffect(() => setText(search), [search]);
  useEffect(() => {
    if (text === search) return;
    const timer = setTimeout(() => go({ search: text }, { replace: true }), PAUSE);
    return () => clearTimeout(timer);
  }, [text, search, go]);
  return (
    <input
      type="search"
      data-field="search"
      aria-label="Search threads"
      aria-keyshortcuts="/"
      placeholder="Search titles and messages"
      value={text}
      onChange={({ target }) => setText(target.value)}
      onKeyDown={({ key }) => {
        if (key === "Escape") setText("");
      }}
    />
  );
}

type Options = readonly (readonly [value: string, label: string])[];

function named(any: string, names: readonly string[]): Options {
  return [["", any], ...names.map((name) => [name, name] as const)];
}

interface ChoiceProps {
  readonly place: Place;
  readonly name: "status" | "archived" | "agent" | "resource" | "order";
  readonly label: string;
  readonly options: Options;
}

function Choice({ place: { selection, go }, name, label, options }: ChoiceProps) {
  const value = selection[name] ?? "";
  // A link may name what the list of choices does not have.
  const isKnown = options.some(([known]) => known === value);
  return (
    <select
      aria-label={label}
      className={value === "" ? "" : "set"}
      value={value}
      onChange={({ target }) => go({ [name]: target.value })}
    >
      {[...options, ...(isKnown ? [] : [[value, value] as const])].map(([option, text]) => (
        <option key={option} value={option}>
          {text}
        </option>
      ))}
    </select>
  );
}
