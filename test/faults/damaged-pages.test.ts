import "../support/leak-guard.ts";
import { existsSync, statSync, writeFileSync } from "node:fs";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, typesOf } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { flipBits, storedFile } from "./stored-file.ts";

/** The offset of the root page of a table or index in the file. */
function rootOf(path: string, name: string): { readonly from: number; readonly to: number } {
  return withDatabase(path, (db) => {
    const size = Number(db.pragma("page_size", { simple: true }));
    const page = Number(
      db.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").pluck().get(name),
    );
    return { from: (page - 1) * size, to: page * size };
  });
}

describe("a corrupt page that opening the file does not read", () => {
  it("fails a run with CORRUPT when its claim reads the page", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "threads");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const agent = answeringAgent();
    const events = await runToEnd(runner, "t", "new", agent);
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: "CORRUPT" }]);
    expect(agent.inputs).toEqual([]);
    // Nothing is shown of a thread when it cannot be read whose it is.
    expect(await replayOf(runner, "t")).toMatchObject([{ type: "RUN_ERROR", code: "CORRUPT" }]);
    await runner.flush();
    await runner.close();
  });

  it("is reported when storing a run reads the page, and when close does", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "agent_runs");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const events = await runToEnd(runner, "other", "new", answeringAgent());
    expect(typesOf(events).slice(-2)).toEqual(["RUN_FINISHED", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({
      code: "PERSISTENCE_FAILED",
      message: expect.stringContaining("SQLITE_CORRUPT"),
    });
    expect(await runner.isRunning({ threadId: "other" })).toBe(false);
    await expect(runner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
    await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  });

  it("is a RUN_ERROR CORRUPT for a connect that reads the page", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "agent_runs");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "t");
    expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "CORRUPT" });
    await runner.close();
  });

  it("in the middle of a history gives the events before it, then a RUN_ERROR CORRUPT", async () => {
    const dbPath = await storedFile();
    const { size } = statSync(dbPath);
    flipBits(dbPath, Math.floor(size / 2 / 4096) * 4096, Math.floor(size / 2 / 4096) * 4096 + 8192);
    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay).at(0)).toBe("r0");
    expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "CORRUPT" });
    await runner.close();
  });
});

describe("a new file after a power cut, with a rollback journal and a WAL", () => {
  it("is opened and usable", async () => {
    const dbPath = tempDatabase();
    const db = new Database(dbPath);
    db.pragma("journal_mode = WAL");
    db.close();
    // https://www.sqlite.org/fileformat.html#the_rollback_journal: no pages, of a file that had none.
    const journal = Buffer.alloc(512);
    journal.write("d9d505f920a163d7", "hex");
    journal.writeUInt32BE(512, 20);
    journal.writeUInt32BE(4096, 24);
    writeFileSync(`${dbPath}-journal`, journal);
    writeFileSync(`${dbPath}-wal`, Buffer.alloc(32, "x"));
    const runner = openRunner({ dbPath });
    await runner.ready();
    const events = await runToEnd(runner, "t", "r", answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    expect(existsSync(`${dbPath}-journal`)).toBe(false);
  });
});
