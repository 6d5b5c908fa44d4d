import { RunStoreError } from "../../src/protocol/errors.ts";
import { MemoryDatabase } from "../support/memory-database.ts";
import { Clients } from "./clients.ts";
import { type Action, LEASE_MS, type Plan, type ProcessPlan } from "./plan.ts";
import { type Process, startProcess } from "./process.ts";
import type { Facts, ProcessRecord, TakenRecord, TroubleRecord } from "./records.ts";
import type { Conditions } from "./troubled-backend.ts";
import type { VirtualTime } from "./virtual-time.ts";

type Trouble = Extract<Action, { kind: "trouble" }>;

interface Period {
  readonly until: number;
  /** How many calls are still to meet it. */
  left: number;
}

/** How long what is under way may take when all faults are over. */
const PATIENCE_MS = 20_000;
const SLICE_MS = 200;
/** An agent that waits to be aborted waits so long behind the last action. */
const WAIT_MS = LEASE_MS * 3;
const VISITOR: ProcessPlan = {
  onConcurrentRun: "enqueue",
  lingerMs: 5,
  maxBatchBytes: 1024 * 1024,
  opensAt: 0,
};

/** Executes one schedule, in virtual time: its processes, what fails, and its end, when all faults are over. */
export class World {
  readonly #time: VirtualTime;
  readonly #plan: Plan;
  readonly #database = new MemoryDatabase();
  /** By their place. Empty while none is there. */
  readonly #processes: (Process | undefined)[] = [];
  readonly #records: ProcessRecord[] = [];
  readonly #clients: Clients;
  readonly #timeline: string[] | null;
  readonly #allTroubles: TroubleRecord[] = [];
  readonly #taken: TakenRecord[] = [];
  #outageUntil = -1;
  /** Until when no writer of a process opens the database. A process that closes may outlast its place. */
  readonly #writerDeadUntil = new Map<ProcessRecord, number>();
  #troubles: (Trouble & Period)[] = [];
  #unstorable: { on: number; threadId: string; until: number }[] = [];

  constructor(time: VirtualTime, plan: Plan, options: { readonly hasTimeline: boolean }) {
    this.#time = time;
    this.#plan = plan;
    this.#timeline = options.hasTimeline ? [] : null;
    const lastAt = Math.max(0, ...plan.actions.map(({ at }) => at));
    this.#clients = new Clients({
      time,
      waitsUntil: lastAt + WAIT_MS,
      say: (process, line) => this.#say(process.name, line),
    });
  }

  async run(uncaught: readonly unknown[]): Promise<Facts> {
    const { processes, actions } = this.#plan;
    this.#time.reset();
    for (const place of processes.keys()) this.#start(place);
    let settledAt = 0;
    for (const action of actions) {
      settledAt = Math.max(settledAt, endOf(action));
      this.#time.after(action.at, () => this.#do(action));
    }
    await this.#time.runUntil(settledAt);
    // Of the processes, none may be left to find the dead ones.
    const visitor = this.#start(processes.length, VISITOR);
    await this.#settle(LEASE_MS);
    const held = await this.#heldThreads();
    const threads = [...new Set(actions.flatMap(threadsOf))];
    for (const threadId of threads) this.#clients.runLast(visitor, threadId);
    await this.#settle(0);
    for (const threadId of threads) {
      for (const process of this.#live())
        this.#clients.connect(process, threadId, { isLast: true });
    }
    await this.#settle(0);
    // A close answers what nothing else would have answered.
    const { unanswered } = this.#clients;
    for (const process of this.#live()) this.#close(process);
    await this.#settle(0);
    return {
      database: this.#database,
      processes: this.#records,
      ...this.#clients.records,
      unanswered: [...unanswered, ...this.#clients.unanswered],
      held,
      taken: this.#taken,
      troubles: this.#allTroubles,
      uncaught,
      timeline: this.#timeline ?? [],
    };
  }

  /** Lets time pass until all calls are answered and no thread is held, and at least `minMs`. */
  async #settle(minMs: number): Promise<void> {
    const from = this.#time.now;
    for (;;) {
      const passed = this.#time.now - from;
      const isFree = [...this.#database.threads.values()].every(({ holder }) => holder === null);
      const isDone = passed >= minMs && isFree && !this.#clients.isWaiting;
      if (isDone || passed > PATIENCE_MS) return;
      await this.#time.runUntil(this.#time.now + SLICE_MS);
    }
  }

  #live(): Process[] {
    return this.#processes.filter((process) => process !== undefined);
  }

  /** Threads that are held though all is over: in the database, or in the eyes of a process. */
  async #heldThreads(): Promise<string[]> {
    const held: string[] = [];
    for (const [threadId, { holder }] of this.#database.threads) {
      if (holder === null) continue;
      held.push(`${threadId} is held by run ${holder.runId} of ${holder.ownerId}`);
    }
    const asked = this.#live().flatMap((process) =>
      [...this.#database.threads.keys()].map((threadId) =>
        this.#time.as(process.owner, async () => {
          const isRunning = await process.runner.isRunning({ threadId });
          if (isRunning) held.push(`${threadId} is running, says ${process.record.name}`);
        }),
      ),
    );
    const answered = Promise.all(asked).catch((error) => held.push(`isRunning failed: ${error}`));
    await this.#time.runUntil(this.#time.now + 100);
    await Promise.race([answered, Promise.resolve()]);
    return held;
  }

  #start(place: number, plan = this.#plan.processes[place] ?? VISITOR): Process {
    const born = this.#records.filter((record) => record.place === place).length;
    const name = `${String.fromCharCode(97 + place)}${born + 1}`;
    const life = { killedAt: null, closingAt: null, silences: [], losses: [] };
    const record: ProcessRecord = { ...plan, name, place, ...life };
    const process = startProcess(record, {
      time: this.#time,
      database: this.#database,
      conditions: this.#conditionsOf(place, record),
    });
    this.#processes[place] = process;
    this.#records.push(record);
    this.#say(
      name,
      `starts: ${plan.onConcurrentRun}, lingerMs ${plan.lingerMs}, maxBatchBytes ${plan.maxBatchBytes}`,
    );
    if (plan.opensAt !== null) {
      const open = () => process.runner.ready().catch(() => undefined);
      this.#time.as(process.owner, () => this.#time.after(plan.opensAt ?? 0, open));
    }
    return process;
  }

  #conditionsOf(place: number, record: ProcessRecord): Conditions {
    const isNow = ({ on, until }: { on: number; until: number }) =>
      on === place && until > this.#time.now;
    return {
      troubleOf: (call) => {
        const isMet = (each: Trouble & Period) =>
          each.call === call && each.left > 0 && isNow(each);
        const trouble = this.#troubles.find(isMet) ?? null;
        if (trouble !== null) trouble.left--;
        return trouble;
      },
      isUnstorable: (threadId) =>
        this.#unstorable.some((each) => each.threadId === threadId && isNow(each)),
      isWriterDead: () => this.#isWriterDead(record),
      writeFault: () => this.#writeFault(record),
      noteTaken: (taken) => void this.#taken.push(taken),
    };
  }

  #isWriterDead(record: ProcessRecord): boolean {
    return (this.#writerDeadUntil.get(record) ?? -1) > this.#time.now;
  }

  #writeFault(record: ProcessRecord): RunStoreError | null {
    if (this.#time.now < this.#outageUntil) {
      return new RunStoreError("DISK_FULL", "the simulated disk is full");
    }
    return this.#isWriterDead(record)
      ? new RunStoreError("NO_WRITER", "no simulated writer")
      : null;
  }

  #do(action: Action): void {
    const { on, kind, at } = action;
    const process = this.#processes[on];
    if (process === undefined) return;
    const { record, owner, backend } = process;
    const until = endOf(action);
    switch (kind) {
      case "run":
      case "stop":
      case "connect":
      case "ask":
        this.#clients.call(process, action);
        return;
      case "kill":
        this.#kill(process, action);
        return;
      case "close":
        this.#close(process);
        this.#processes[on] = undefined;
        this.#time.after(action.restartAfterMs, () => this.#start(on));
        return;
      case "pause":
        this.#say(record.name, `is paused for ${action.ms} ms`);
        record.silences.push({ from: at, until });
        this.#allTroubles.push({ on, from: at, until });
        owner.pausedUntil = Math.max(owner.pausedUntil, until);
        return;
      case "outage":
        this.#say("all", `cannot write for ${action.ms} ms`);
        this.#outageUntil = Math.max(this.#outageUntil, until);
        this.#allTroubles.push({ on: null, from: at, until });
        return;
      case "writer death":
        this.#say(record.name, `loses its writer for ${action.ms} ms`);
        record.silences.push({ from: at, until });
        this.#allTroubles.push({ on, from: at, until });
        this.#writerDeadUntil.set(record, Math.max(this.#writerDeadUntil.get(record) ?? 0, until));
        this.#time.as(owner, () => backend.loseWriter());
        return;
      case "trouble":
        this.#say(
          record.name,
          `for ${action.ms} ms, ${action.calls} ${action.call}(s): ${action.how}, by ${action.byMs} ms`,
        );
        this.#troubles.push({ ...action, until, left: action.calls });
        this.#allTroubles.push({ on, from: at, until });
        return;
      case "unstorable":
        this.#say(record.name, `can store no run of ${action.threadId} for ${action.ms} ms`);
        this.#unstorable.push({ ...action, until });
        this.#allTroubles.push({ on, from: at, until, isForGood: true });
        return;
      case "lost row":
        this.#loseRow(record.name);
    }
  }

  #kill(process: Process, { on, isSeen, restartAfterMs }: Extract<Action, { kind: "kill" }>): void {
    const { record, owner } = process;
    this.#say(record.name, `is killed, ${isSeen ? "seen" : "unseen"} by the others`);
    owner.isDead = true;
    record.killedAt = this.#time.now;
    this.#processes[on] = undefined;
    this.#database.listeners.delete(record.name);
    // An instance without a row is dead at once, like a process that the kernel says is gone.
    if (isSeen) this.#database.instances.delete(record.name);
    this.#time.after(restartAfterMs, () => this.#start(on));
  }

  #close(process: Process): void {
    this.#say(process.record.name, "is told to close");
    process.record.closingAt = this.#time.now;
    this.#clients.close(process);
  }

  /** A process that holds a thread may rightly lose it with its row. */
  #loseRow(instanceId: string): void {
    const threads = [...this.#database.threads.values()];
    if (threads.some(({ holder }) => holder?.ownerId === instanceId)) return;
    this.#say(instanceId, "has lost its row in the database");
    this.#database.instances.delete(instanceId);
  }

  #say(who: string, what: string): void {
    this.#timeline?.push(`${String(this.#time.now).padStart(6)} ms  ${who.padEnd(4)} ${what}`);
  }
}

function endOf(action: Action): number {
  const { ms = 0, restartAfterMs = 0 } = action as { ms?: number; restartAfterMs?: number };
  return action.at + ms + restartAfterMs;
}

function threadsOf(action: Action): string[] {
  return "threadId" in action ? [action.threadId] : [];
}
