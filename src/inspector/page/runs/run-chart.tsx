import type { RunItem, RunRef } from "../../api.ts";
import { size, time } from "../format.ts";
import { refText } from "../location.ts";
import { statusOfRun } from "../parts/status.tsx";

/** The latest runs that are drawn. */
const BARS = 240;
const HEIGHT = 48;
/** CSS pixels of a bar at most. */
const WIDTH = 14;

interface Props {
  readonly runs: readonly RunItem[];
  readonly hrefOf: (run: RunRef) => string;
}

/** The size of each of the latest runs, as bars in the colour of their outcome. The list has the same as text. */
export function RunChart({ runs, hrefOf }: Props) {
  const shown = runs.slice(-BARS);
  if (shown.length < 3) return null;
  const largest = Math.max(...shown.map(({ bytes }) => bytes), 1);
  return (
    <figure className="run-chart" aria-hidden="true">
      <svg
        style={{ width: `min(100%, ${shown.length * WIDTH}px)` }}
        viewBox={`0 0 ${shown.length} ${HEIGHT}`}
        preserveAspectRatio="none"
        focusable="false"
      >
        <title>Sizes of runs</title>
        {shown.map((run, at) => {
          const height = Math.max((run.bytes / largest) * HEIGHT, 1);
          return (
            <a key={refText(run)} href={hrefOf(run)} tabIndex={-1}>
              <rect className="touch" x={at} width={1} height={HEIGHT} />
              <rect
                className={`bar ${statusOfRun(run)}`}
                x={at + 0.1}
                y={HEIGHT - height}
                width={0.8}
                height={height}
              />
              <title>{`${run.runId}\n${size(run.bytes)}, ${time(run.endedAt)}`}</title>
            </a>
          );
        })}
      </svg>
      <figcaption className="muted">
        size of the last {shown.length} runs, up to {size(largest)}
      </figcaption>
    </figure>
  );
}
