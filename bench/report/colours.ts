/** One colour per peer. The lightness differs too, for readers who cannot tell red from green. */
export interface Palette {
  readonly peers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly muted: string;
  readonly grid: string;
  readonly page: string;
  readonly panel: string;
  readonly good: string;
  readonly bad: string;
}

export const LIGHT: Palette = {
  peers: {
    durable: "#0b5fd8",
    "durable-normal": "#0891b2",
    "in-memory": "#8b3fc0",
    synchronous: "#c2410c",
    limit: "#6b7280",
    "no-runner": "#6b7280",
  },
  text: "#1f2328",
  muted: "#59636e",
  grid: "#dde1e6",
  page: "#ffffff",
  panel: "#f6f8fa",
  good: "#1a7f37",
  bad: "#c2410c",
};

export const DARK: Palette = {
  peers: {
    durable: "#6cb0ff",
    "durable-normal": "#43d0e0",
    "in-memory": "#d2a0ff",
    synchronous: "#ff9a5c",
    limit: "#a3adb8",
    "no-runner": "#a3adb8",
  },
  text: "#e6edf3",
  muted: "#9aa4af",
  grid: "#30363d",
  page: "#0d1117",
  panel: "#161b22",
  good: "#56d364",
  bad: "#ff9a5c",
};

/** Colours for a picture on any page: each is visible on white and on black. */
export const EITHER: Palette = {
  ...LIGHT,
  peers: {
    durable: "#2f81f7",
    "durable-normal": "#0e93a8",
    "in-memory": "#a371d9",
    synchronous: "#d9622b",
    limit: "#7d8590",
    "no-runner": "#7d8590",
  },
  text: "#737b85",
  muted: "#737b85",
  grid: "#737b8555",
};

/** The styles that `drawPlot` leaves to the page. */
export const PLOT_STYLE = `
.plot text { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--text) }
.plot .title { font-size: 15px; font-weight: 600 }
.plot .tick, .plot .label { fill: var(--muted) }
.plot .grid { stroke: var(--grid); fill: none }
.plot .axis { stroke: var(--muted); fill: none }
.plot .line { stroke: currentColor; stroke-width: 2; fill: none; stroke-linejoin: round }
.plot .whisker { stroke: currentColor; stroke-width: 5; opacity: .3 }
.plot g { fill: currentColor }
.plot .peer-durable .line { stroke-width: 3 }
.plot .peer-durable-normal .line { stroke-dasharray: 6 3 }
.plot .peer-limit .line, .plot .peer-no-runner .line { stroke-dasharray: 2 3 }
`;

export function variablesOf({ peers, ...rest }: Palette): string {
  return Object.entries(rest)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .concat(Object.entries(peers).map(([name, colour]) => `--peer-${name}: ${colour};`))
    .join(" ");
}

export const PEER_COLOURS = Object.keys(LIGHT.peers)
  .map((name) => `.peer-${name} { color: var(--peer-${name}) }`)
  .join("\n");
