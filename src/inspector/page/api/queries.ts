import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { RunItem, RunRef } from "../../api.ts";
import { refText } from "../location.ts";
import { get } from "./client.ts";

/** Milliseconds between two looks at what changes without being asked. */
const POLL = 3000;

/** Runs that are listed of one thread. */
export const MAX_RUNS = 20_000;

/*
 * Keys begin with "thread" and its id for all that belongs to a thread: what is known of it is forgotten at
 * once when a run of it begins or ends.
 */

export function useDatabase() {
  return useQuery({
    queryKey: ["database"],
    queryFn: ({ signal }) => get("api/database", {}, signal),
    refetchInterval: POLL,
  });
}

export function useTotals() {
  return useQuery({
    queryKey: ["totals"],
    queryFn: ({ signal }) => get("api/totals", {}, signal),
    refetchInterval: 10 * POLL,
    staleTime: 10 * POLL,
  });
}

export function useHolders() {
  return useQuery({
    queryKey: ["holders"],
    queryFn: ({ signal }) => get("api/holders", {}, signal),
    refetchInterval: POLL,
  });
}

export function useThread(thread: string) {
  return useQuery({
    queryKey: ["thread", thread],
    queryFn: ({ signal }) => get("api/thread", { thread }, signal),
  });
}

/** All stored runs of a thread, oldest first. */
export function useRuns(thread: string) {
  return useQuery({
    queryKey: ["thread", thread, "runs"],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const runs: RunItem[] = [];
      let cursor: string | null = "";
      while (cursor !== null && runs.length < MAX_RUNS) {
        const query: { thread: string; limit: string; cursor?: string } = { thread, limit: "500" };
        if (cursor !== "") query.cursor = cursor;
        const page = await get("api/runs", query, signal);
        runs.push(...page.runs);
        cursor = page.nextCursor;
      }
      return { runs, isCut: cursor !== null };
    },
  });
}

interface RunOptions {
  readonly isLive?: boolean;
  readonly enabled?: boolean;
}

/** A run with its counts and times. */
export function useRun(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({ ...runQuery(thread, run), ...changing(options) });
}

export function runQuery(thread: string, run: RunRef) {
  return {
    queryKey: ["thread", thread, "run", refText(run), "facts"],
    queryFn: ({ signal }: { signal: AbortSignal }) => get("api/run", ofRun(thread, run), signal),
    staleTime: Number.POSITIVE_INFINITY,
  };
}

export function useTimeline(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: ["thread", thread, "run", refText(run), "timeline"],
    queryFn: ({ signal }) => get("api/run/timeline", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunInput(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: ["thread", thread, "run", refText(run), "input"],
    queryFn: ({ signal }) => get("api/run/input", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunState(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: ["thread", thread, "run", refText(run), "state"],
    queryFn: ({ signal }) => get("api/run/state", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunMessages(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: ["thread", thread, "run", refText(run), "messages"],
    queryFn: ({ signal }) => get("api/run/messages", ofRun(thread, run), signal),
    ...changing(options),
  });
}

/** How the API is told which run is meant. */
export function ofRun(thread: string, { epoch, runId }: RunRef) {
  return { thread, epoch: String(epoch), run: runId };
}

/** A stored run never changes. One that executes is looked at again. */
function changing({ isLive = false, enabled = true }: RunOptions) {
  return {
    enabled,
    staleTime: isLive ? 0 : Number.POSITIVE_INFINITY,
    refetchInterval: isLive ? POLL : (false as const),
  };
}
