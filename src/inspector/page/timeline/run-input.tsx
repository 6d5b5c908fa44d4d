import { useState } from "react";
import type { RunRef } from "../../api.ts";
import { useRunInput } from "../api/queries.ts";
import { size } from "../format.ts";
import { Failure } from "../parts/failure.tsx";
import { Json } from "../parts/json.tsx";

interface Props {
  readonly thread: string;
  readonly run: RunRef;
}

/** The input of a stored run, as it is stored. It is read when it is opened. */
export function RunInput({ thread, run }: Props) {
  const [isOpen, setOpen] = useState(false);
  const { data, error, refetch } = useRunInput(thread, run, { enabled: isOpen });
  return (
    <details
      className="run-part"
      onToggle={(event) => {
        if (event.target === event.currentTarget) setOpen(event.currentTarget.open);
      }}
    >
      <summary>
        Input {data === undefined ? null : <span className="muted">{size(data.bytes)}</span>}
      </summary>
      {error === null ? null : <Failure error={error} retry={refetch} />}
      {data === undefined ? null : <Json value={data.input} depth={3} />}
    </details>
  );
}

/** What a run waits for. */
export function Interrupts({ interrupts }: { readonly interrupts: unknown }) {
  if (interrupts === null || interrupts === undefined) return null;
  return (
    <details className="run-part" open>
      <summary>Waits for an answer to</summary>
      <Json value={interrupts} depth={3} />
    </details>
  );
}
