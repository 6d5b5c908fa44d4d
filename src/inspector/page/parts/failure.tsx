import { ApiError } from "../api/client.ts";
import { Notice } from "./notice.tsx";

interface Props {
  readonly error: Error;
  readonly retry?: (() => void) | undefined;
}

const NEXT: Readonly<Record<string, string>> = {
  OFFLINE:
    "It was stopped, or its machine is busy. Start it again with “durable-agent-runner inspect”, and open the URL that it prints.",
  FORBIDDEN:
    "The inspector was started anew and has another URL. Open the URL that it printed last.",
  THREAD_NOT_FOUND: "It was deleted, or purged. Choose another one in the list.",
  RUN_NOT_FOUND: "It was purged, or the link is wrong. Choose another run.",
  INVALID_CURSOR: "The list changed. Reload the page.",
  BUSY: "Another process holds the database. The inspector tries again.",
  CANNOT_CONNECT: "The database does not answer. Is it running?",
};

/** What went wrong, and what to do next. */
export function Failure({ error, retry }: Props) {
  const next = error instanceof ApiError ? NEXT[error.code] : undefined;
  const code = error instanceof ApiError ? error.code : error.name;
  return (
    <Notice title={error.message} isError>
      {next === undefined ? null : <p>{next}</p>}
      <p>
        <code>{code}</code>{" "}
        {retry === undefined ? null : (
          <button type="button" onClick={retry}>
            Try again
          </button>
        )}
      </p>
    </Notice>
  );
}
