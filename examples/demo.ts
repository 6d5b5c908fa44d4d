// `npm run demo`: 40 threads talk to a server, which is killed with SIGKILL half way and started again
// on the same file. Exits with 0 if no completed run is lost, no thread is stuck, and nothing else
// failed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ask, connect } from "./demo-client.ts";
import { heading, progress, progressDone, table } from "./demo-console.ts";
import { COMPLETED_AT_KILL, JOINED, START_EVERY_MS, STOPPED, talkAndKill } from "./demo-crash.ts";
import { startServer } from "./demo-server.ts";
import { isCompleted, isLost, isStuck, outcomeOf, spokenIn, type Thread } from "./demo-thread.ts";

/** Only a demo that hangs takes longer: a busy machine may need minutes. */
const TIME_LIMIT_MS = 300_000;
const THREADS = 40;
const QUESTIONS = [
  "What happens to my thread when the server is killed?",
  "Does my page miss anything when it reloads during an answer?",
  "Can I stop a run while it is under way?",
  "How long may the history of a thread grow?",
];
const threads: Thread[] = Array.from({ length: THREADS }, (_, at) => ({
  threadId: `thread-${String(at + 1).padStart(2, "0")}`,
  question: QUESTIONS[at % QUESTIONS.length] ?? "",
}));
const problems: string[] = [];

const directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-demo-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.error(`\nGave up: the demo was not done after ${TIME_LIMIT_MS / 1000} s.`);
  process.exit(1);
}, TIME_LIMIT_MS);

try {
  await demo(join(directory, "threads.db"));
} catch (error) {
  problems.push(error instanceof Error ? error.message : String(error));
}
for (const problem of problems) console.error(`Problem: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);

async function demo(dbPath: string) {
  heading(`1. ${THREADS} threads ask a question, one every ${START_EVERY_MS} ms`);
  await talkAndKill(await startServer(dbPath), threads);
  const completed = threads.filter(isCompleted);
  const interrupted = threads.filter((thread) => !isCompleted(thread));
  progressDone(
    `Killed (SIGKILL): ${completed.length} runs completed, ${interrupted.length} in flight.`,
  );
  checkFirstRuns(completed, interrupted);

  heading("2. The server starts again on the same file");
  const { agentUrl, kill } = await startServer(dbPath);
  await Promise.all(
    threads.map(async (thread) => {
      thread.restored = await connect(agentUrl, thread.threadId);
    }),
  );
  const back = threads.filter(({ restored }) => !restored?.failure);
  console.log(`Clients connected again: ${back.length} of ${THREADS}.`);
  checkKeptText(interrupted);

  let answered = 0;
  const news = () =>
    `Interrupted threads that took another run: ${answered} of ${interrupted.length}.`;
  await Promise.all(
    interrupted.map(async (thread) => {
      const history = thread.restored?.messages ?? [];
      thread.second = await ask(agentUrl, thread.threadId, history, "And what now?");
      if (!isStuck(thread)) answered++;
      progress(news());
    }),
  );
  progressDone(news());

  heading("3. What each thread holds now");
  const held = await Promise.all(threads.map(({ threadId }) => connect(agentUrl, threadId)));
  table(
    ["thread", "runs", "events", "messages", "ended"],
    held.map(({ runs, events, messages, failure }, at) => {
      const { threadId } = threads[at] as Thread;
      expect(failure === undefined, `${threadId} cannot be read: ${failure}`);
      return [threadId, runs.length, events, messages.length, runs.map(outcomeOf).join(", ")];
    }),
  );
  await kill();

  const lost = completed.filter(isLost);
  const stuck = interrupted.filter(isStuck);
  for (const { threadId } of lost) problems.push(`the completed run of ${threadId} is lost`);
  for (const { threadId, second } of stuck)
    problems.push(`${threadId} is stuck: ${second?.failure ?? "no RUN_FINISHED"}`);
  heading(
    `Completed runs lost: ${lost.length} of ${completed.length}. ` +
      `Threads stuck: ${stuck.length} of ${interrupted.length} interrupted.`,
  );
}

function checkFirstRuns(completed: Thread[], interrupted: Thread[]) {
  expect(
    completed.length >= COMPLETED_AT_KILL,
    `only ${completed.length} runs were completed: ${interrupted[0]?.first?.failure}`,
  );
  expect(interrupted.length > 0, "no run was in flight at the kill");

  const joined = threads.filter((_, at) => JOINED.includes(at));
  const same = joined.filter(({ joined, first }) =>
    isDeepStrictEqual(joined?.messages, first?.messages),
  );
  console.log(
    `Clients that joined half way and got all of it: ${same.length} of ${joined.length}.`,
  );
  for (const thread of joined) {
    expect(same.includes(thread), `the client that joined ${thread.threadId} got other messages`);
  }

  const stopped = threads[STOPPED]?.first?.runs[0];
  expect(
    stopped !== undefined && outcomeOf(stopped) === "stopped",
    `${threads[STOPPED]?.threadId} was not stopped`,
  );
}

/** The stored events of an interrupted run are a prefix of the streamed events. */
function checkKeptText(interrupted: Thread[]) {
  let seen = 0;
  let kept = 0;
  for (const { threadId, first, restored } of interrupted) {
    const [before, after] = [spokenIn(first), spokenIn(restored)];
    seen += before.length;
    kept += Math.min(before.length, after.length);
    expect(
      restored?.runs.every(({ end }) => end !== undefined) ?? false,
      `${threadId} holds a run without an end`,
    );
    expect(
      before.startsWith(after) || after.startsWith(before),
      `${threadId} holds other text than was streamed`,
    );
  }
  console.log(
    `Interrupted runs kept ${kept} of the ${seen} characters that their clients had seen.`,
  );
}

function expect(condition: boolean, otherwise: string) {
  if (!condition) problems.push(otherwise);
}
