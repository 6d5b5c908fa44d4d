import { Failure } from "./failure.tsx";

interface Props {
  /** Null while the answer is under way. */
  readonly error: Error | null;
  readonly retry: () => void;
}

/** In the place of an answer that is not there yet. */
export function Waiting({ error, retry }: Props) {
  return error === null ? (
    <p className="loading">Loading…</p>
  ) : (
    <Failure error={error} retry={retry} />
  );
}
