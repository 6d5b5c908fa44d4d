import { killAtRandom, killFour } from "../faults/kills.ts";
import { postTwice } from "../faults/posted-twice.ts";
import { stopProcess } from "../faults/stop.ts";
import type { ChaosStore, Fault } from "../faults.ts";
import { crowdThreads, killAtCommit } from "./faults/kills.ts";
import {
  cutConnections,
  cutOffHost,
  delayAnswers,
  loseAnswers,
  silenceConnections,
} from "./faults/network.ts";
import { killPooler } from "./faults/pooler.ts";
import { failOver, fillDisk, killServer } from "./faults/servers.ts";
import { endSessions, holdLock } from "./faults/sessions.ts";
import { PostgresRound, TAKE_OVER_MS } from "./round.ts";

const FAULTS: readonly Fault<PostgresRound>[] = [
  { name: "kill-at-random", what: "SIGKILL of hosts at random moments", run: killAtRandom },
  {
    name: "kill-at-commit",
    what: "SIGKILL of a host when its commit has reached the server",
    run: killAtCommit,
  },
  {
    name: "four-processes",
    what: "four hosts on overlapping threads, each killed and restarted",
    run: killFour,
  },
  {
    name: "crowded-threads",
    what: "hosts that begin runs on the same many threads at once, one of them killed",
    run: crowdThreads,
  },
  {
    name: "posted-twice",
    what: "run ids that come again, and requests that are sent twice, to several hosts",
    run: postTwice,
  },
  {
    name: "process-stopped",
    what: "SIGSTOP of a host past its lease while another takes over, then SIGCONT",
    run: (round) => stopProcess(round, TAKE_OVER_MS),
    expectations: { losers: ["sleeper"] },
  },
  {
    name: "host-cut-off",
    what: "one host reaches nothing for longer than its lease, while another takes over",
    run: cutOffHost,
    expectations: { losers: ["sleeper"], stalls: true },
  },
  {
    name: "server-killed",
    what: "SIGKILL of the server, or of one of its processes; then it is started again",
    run: killServer,
  },
  {
    name: "failover",
    what: "the primary is killed or left, and its synchronous standby is promoted",
    run: failOver,
  },
  {
    name: "server-disk-full",
    what: "no room on the server's disk, then room again",
    run: fillDisk,
  },
  {
    name: "sessions-ended",
    what: "pg_terminate_backend and pg_cancel_backend on random sessions",
    run: endSessions,
  },
  {
    name: "locks-held",
    what: "another session holds a lock, with statement_timeout, lock_timeout or neither",
    run: holdLock,
  },
  { name: "connections-cut", what: "TCP connections are cut, over and over", run: cutConnections },
  {
    name: "connections-silent",
    what: "TCP connections stay open and pass nothing on",
    run: silenceConnections,
  },
  { name: "answers-late", what: "the server's answers come late", run: delayAnswers },
  {
    name: "answers-lost",
    what: "commits whose answers are lost with their connections",
    run: loseAnswers,
  },
  {
    name: "pooler-killed",
    what: "PgBouncer in transaction mode between, killed and started again",
    run: killPooler,
  },
];

export const POSTGRES: ChaosStore<PostgresRound> = {
  name: "postgres",
  faults: FAULTS,
  openRound: (seed, number, directory) => PostgresRound.open(seed, number, directory),
};
