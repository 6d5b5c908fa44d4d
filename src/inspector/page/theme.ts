import { useSyncExternalStore } from "react";

/** What the reader chose. "system" follows `prefers-color-scheme`. */
export type Theme = "system" | "light" | "dark";

const KEY = "durable-agent-runner:theme";
const listeners = new Set<() => void>();
let current = kept();

/** The chosen theme, which the browser keeps, and how it is changed. */
export function useTheme(): readonly [Theme, (theme: Theme) => void] {
  return [useSyncExternalStore(subscribe, () => current), choose];
}

/** Called once, before anything is drawn. */
export function applyTheme(): void {
  if (current === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = current;
}

function choose(theme: Theme): void {
  current = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Storage is forbidden or full: the choice holds until the page is closed.
  }
  applyTheme();
  for (const tell of listeners) tell();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function kept(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}
