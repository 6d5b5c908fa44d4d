import { useMemo } from "react";
import type { RunItem, RunRef } from "../../api.ts";
import { useRuns } from "../api/queries.ts";
import { time } from "../format.ts";
import { useKeys } from "../keyboard/keys.ts";
import { OTHER_RUN, refText } from "../location.ts";
import { statusOfRun, WORDS } from "../parts/status.tsx";
import { isSame, runRefs } from "./run-choice.ts";
import type { ViewProps } from "./view-props.ts";

/** Runs in the choice. Others are reached step by step, or from the list of runs. */
const CHOICES = 500;

interface Props extends Pick<ViewProps, "answer" | "place"> {
  readonly run: RunRef;
  readonly label?: string;
  /** The choice in the URL that is changed. */
  readonly name?: "run" | "against";
}

/** Chooses a run of the thread. With the name "run", the keys [ and ] do as well. */
export function RunPicker({ answer, place, run, label = "Run", name = "run" }: Props) {
  const { data } = useRuns(answer.thread);
  const refs = useMemo(() => runRefs(answer, data?.runs ?? []), [answer, data]);
  const at = refs.findIndex((ref) => isSame(ref, run));
  const choose = (ref: RunRef | undefined) => {
    if (ref !== undefined) place.go({ ...OTHER_RUN, [name]: refText(ref) });
  };
  const earlier = at < 0 ? undefined : refs[at + 1];
  const later = refs[at - 1];
  useKeys(name === "run" ? { "[": () => choose(earlier), "]": () => choose(later) } : {});

  const near = refs.slice(0, CHOICES);
  const shown = near.some((ref) => isSame(ref, run)) ? near : [run, ...near];
  return (
    <span className="run-picker">
      <button
        type="button"
        aria-label={`${label}: the one before`}
        disabled={earlier === undefined}
        onClick={() => choose(earlier)}
      >
        ‹
      </button>
      <select
        aria-label={label}
        value={refText(run)}
        onChange={({ target }) => choose(shown.find((ref) => refText(ref) === target.value))}
      >
        {shown.map((ref) => (
          <option key={refText(ref)} value={refText(ref)}>
            {nameOf(ref, data?.runs.length, refs)}
          </option>
        ))}
      </select>
      <button
        type="button"
        aria-label={`${label}: the one after`}
        disabled={later === undefined}
        onClick={() => choose(later)}
      >
        ›
      </button>
    </span>
  );
}

function nameOf(ref: RunRef, stored: number | undefined, refs: readonly RunRef[]): string {
  const { outcome, endedAt, runId } = ref as Partial<RunItem> & RunRef;
  const place = refs.indexOf(ref);
  const number = stored === undefined || place < 0 ? "" : `${refs.length - place}. `;
  if (outcome === undefined || endedAt === undefined) return `${number}${runId}`;
  const { errorCode } = ref as RunItem;
  const mark = outcome === "finished" ? "" : `, ${WORDS[statusOfRun({ outcome, errorCode })]}`;
  // The id comes last: it is long, and a choice shows as much as it has room for.
  return `${number}${time(endedAt)}${mark} · ${runId}`;
}
