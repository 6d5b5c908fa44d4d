import { useDatabase } from "./api/queries.ts";
import { size } from "./format.ts";
import type { Place } from "./location.ts";
import { type Theme, useTheme } from "./theme.ts";

interface Props {
  readonly place: Place;
  readonly onHelp: () => void;
}

export function Header({ place, onHelp }: Props) {
  const isInstances = place.selection.page === "instances";
  return (
    <header className="header">
      <h1>Inspector</h1>
      <nav className="tabs" aria-label="Pages">
        <a href={place.href({ page: undefined })} aria-current={isInstances ? undefined : "page"}>
          Threads
        </a>
        <a href={place.href({ page: "instances" })} aria-current={isInstances ? "page" : undefined}>
          Instances
        </a>
      </nav>
      <Database />
      <ThemeSwitch />
      <button type="button" onClick={onHelp} aria-label="Keyboard help" aria-keyshortcuts="?">
        ?
      </button>
    </header>
  );
}

function Database() {
  const { data, error } = useDatabase();
  const isGone = error !== null;
  const file = data?.file;
  const facts = [
    data?.name,
    file === null || file === undefined ? null : size(file.bytes),
    file === null || file === undefined ? null : `WAL ${size(file.walBytes)}`,
  ];
  const text = facts.filter((fact) => fact !== null && fact !== undefined).join(" · ");
  return (
    <p className="database" role="status">
      {isGone ? (
        <span className="gone">{error.message} What you see may be out of date.</span>
      ) : (
        <span className="ellipsis muted" title={text}>
          {text}
        </span>
      )}
    </p>
  );
}

const THEMES: readonly (readonly [Theme, string])[] = [
  ["system", "Auto"],
  ["light", "Light"],
  ["dark", "Dark"],
];

function ThemeSwitch() {
  const [theme, setTheme] = useTheme();
  return (
    <select
      aria-label="Colours"
      value={theme}
      onChange={({ target }) => {
        const chosen = THEMES.find(([value]) => value === target.value);
        if (chosen !== undefined) setTheme(chosen[0]);
      }}
    >
      {THEMES.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
}
