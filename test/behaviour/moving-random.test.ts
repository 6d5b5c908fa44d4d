import "../support/leak-guard.ts";
import { test } from "vitest";
import { openRunner } from "../support/open-runner.ts";
import { checkRandomMoves } from "../support/random-moves.ts";
import { tempDatabase } from "../support/temp-file.ts";

const open = () => openRunner({ dbPath: tempDatabase(), storeInput: "full" });

test("random threads are the same after a move, and so is what comes of their next runs", async () => {
  await checkRandomMoves(open, open, { numRuns: 15, isSameStore: true });
});
