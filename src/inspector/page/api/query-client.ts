import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "./client.ts";

/** Errors that another try may not have. */
const PASSING = new Set(["OFFLINE", "BUSY", "CANNOT_CONNECT", "INTERNAL"]);

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The inspector is on this machine: whether the machine has a network does not matter.
      networkMode: "always",
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && PASSING.has(error.code),
      retryDelay: 500,
      staleTime: 2000,
      // What was read of large threads is soon forgotten.
      gcTime: 120_000,
      refetchOnWindowFocus: true,
    },
  },
});
