import type { ReactNode } from "react";

interface Props {
  readonly label: string;
  readonly children: ReactNode;
}

/** What may be wider than the window: it is scrolled within, by the keyboard too. */
export function Wide({ label, children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it.
    <section className="wide" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
