import type { Span, TimelineAnswer } from "../../api.ts";

/** Where spans lie between the beginning and the end of a run. */
export interface Scale {
  /** By the clock, or by the numbers of the events where these have no timestamps. */
  readonly isTimed: boolean;
  /** Milliseconds, or events, from the beginning of the run to its end. */
  readonly length: number;
  /** Percent of the run at which a span begins, and that it takes. Null for a span without times. */
  readonly of: (span: Span) => { readonly left: number; readonly width: number } | null;
  /** Percent of the run at which something happens. Null if its time is not known. */
  readonly at: (index: number, at: number | null) => number | null;
}

export function scaleOf({ spans, events, isTimed, times }: TimelineAnswer): Scale {
  return isTimed ? timed(spans, times) : counted(events);
}

function counted(events: number): Scale {
  const length = Math.max(events, 1);
  const percent = (index: number) => (index / length) * 100;
  return {
    isTimed: false,
    length,
    of: ({ from, to }) => ({ left: percent(from), width: percent(to - from + 1) }),
    at: (index) => percent(index),
  };
}

function timed(spans: readonly Span[], times: TimelineAnswer["times"]): Scale {
  let start = times.startedAt ?? Number.POSITIVE_INFINITY;
  let end = times.endedAt ?? Number.NEGATIVE_INFINITY;
  for (const { startedAt, endedAt } of spans) {
    start = Math.min(start, startedAt ?? start);
    end = Math.max(end, endedAt ?? startedAt ?? end);
  }
  const length = Math.max(end - start, 1);
  const percent = (ms: number) => ((ms - start) / length) * 100;
  return {
    isTimed: true,
    length,
    of({ startedAt, endedAt, isOpen }) {
      if (startedAt === null) return null;
      const until = endedAt ?? (isOpen ? end : startedAt);
      return { left: percent(startedAt), width: percent(until) - percent(startedAt) };
    },
    at: (_, ms) => (ms === null ? null : percent(ms)),
  };
}

/** How deep each span lies within others, in their order. */
export function depthsOf(spans: readonly Span[]): readonly number[] {
  const depths: number[] = [];
  // A parent stands before its children.
  for (const { parent } of spans) depths.push(parent === null ? 0 : (depths[parent] ?? 0) + 1);
  return depths;
}
