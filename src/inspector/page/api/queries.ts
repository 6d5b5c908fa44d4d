import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { RunItem, RunRef, ThreadSummary } from "../../api.ts";
import { refText } from "../location.ts";
import { get } from "./client.ts";

/** Milliseconds between two looks at what changes without being asked. */
const POLL = 3000;

/** Runs that are listed of one thread. */
export const MAX_RUNS = 20_000;

/*
 * What belongs to a thread has a key that begins with "thread" and its id. What changes with its runs has
 * `stampOf` in its key, so that nothing old is shown when a run has ended, whoever was told of it.
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

/** Differs when other runs of the thread are stored. */
export function stampOf({ runs, lastRun }: ThreadSummary): string {
  return `${runs} ${lastRun === null ? "" : refText(lastRun)}`;
}

/** All stored runs of a thread, oldest first. */
export function useRuns(summary: ThreadSummary) {
  const { id: thread } = summary;
  return useQuery({
    queryKey: ["thread", thread, "runs", stampOf(summary)],
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
  return useQuery({
    queryKey: [...keyOf(thread, run, options), "facts"],
    queryFn: ({ signal }) => get("api/run", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useTimeline(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: [...keyOf(thread, run, options), "timeline"],
    queryFn: ({ signal }) => get("api/run/timeline", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunInput(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: [...keyOf(thread, run, options), "input"],
    queryFn: ({ signal }) => get("api/run/input", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunState(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: [...keyOf(thread, run, options), "state"],
    queryFn: ({ signal }) => get("api/run/state", ofRun(thread, run), signal),
    ...changing(options),
  });
}

export function useRunMessages(thread: string, run: RunRef, options: RunOptions = {}) {
  return useQuery({
    queryKey: [...keyOf(thread, run, options), "messages"],
    queryFn: ({ signal }) => get("api/run/messages", ofRun(thread, run), signal),
    ...changing(options),
  });
}

/** How the API is told which run is meant. */
export function ofRun(thread: string, { epoch, runId }: RunRef) {
  return { thread, epoch: String(epoch), run: runId };
}

/** What a run is while it executes is another thing than what is stored of it. */
function keyOf(thread: string, run: RunRef, { isLive = false }: RunOptions): readonly unknown[] {
  return ["thread", thread, "run", refText(run), isLive ? "live" : "stored"];
}

/**
 * A stored run never changes. One that executes is looked at again. When it ends, what was known of it is shown until
 * what is stored has come: whoever shows another run has to be another element, by its `key`.
 */
function changing({ isLive = false, enabled = true }: RunOptions) {
  return {
    enabled,
    placeholderData: keepPreviousData,
    staleTime: isLive ? 0 : Number.POSITIVE_INFINITY,
    refetchInterval: isLive ? POLL : (false as const),
  };
}
