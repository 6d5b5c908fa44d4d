import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { ToServer, ToSupervisor } from "./messages.ts";

const SERVER = join(import.meta.dirname, "../server.ts");
/** A server that dies by itself more often than this within `DEATHS_WITHIN_MS` stays dead. */
const MAX_DEATHS = 5;
const DEATHS_WITHIN_MS = 60_000;
const RESTART_DELAY_MS = 300;

export interface Events {
  /** Each time it listens: also after a restart. */
  listening(port: number, place: string): void;
  startOther(): void;
  /** It will be started again. `how` it ended: a signal or an exit code. */
  died(how: string): void;
  /** It has ended and stays so. */
  ended(code: number): void;
}

/**
 * A process of `examples/server.ts` that is started again when it dies, on the same port. It is not when
 * it could not start at all, when it ended as asked, or when it dies again and again.
 */
export class SupervisedServer {
  readonly #events: Events;
  /** 0 before it has listened, if any free port will do. */
  #port: string | undefined;
  #hasListened = false;
  #child: ChildProcess;
  #deaths: number[] = [];
  #isEnding = false;
  /** The next death was asked for by the button of the page. */
  #isWanted = false;
  #restart: NodeJS.Timeout | undefined;

  /** `port`: undefined leaves it to the environment. */
  constructor(port: string | undefined, events: Events) {
    this.#port = port;
    this.#events = events;
    this.#child = this.#start();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  send(message: ToServer): void {
    // Without a callback, a channel that a dying server has closed is an error event.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** Ends it: SIGTERM lets the runs in flight finish. */
  end(signal: "SIGTERM" | "SIGKILL"): void {
    this.#isEnding = true;
    if (this.#restart === undefined) {
      this.#child.kill(signal);
      return;
    }
    clearTimeout(this.#restart);
    this.#restart = undefined;
    this.#events.ended(0);
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, [SERVER], {
      env: this.#port === undefined ? process.env : { ...process.env, PORT: this.#port },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // Ctrl-C in a terminal reaches every process of the group. Here, `npm start` passes it on.
      detached: true,
    });
    child.on("message", (message: ToSupervisor) => {
      if (message.kind === "start-other") return this.#events.startOther();
      if (message.kind === "kill") {
        this.#isWanted = true;
        child.kill("SIGKILL");
        return;
      }
      this.#hasListened = true;
      this.#port = String(message.port);
      this.#events.listening(message.port, message.place);
    });
    child.on("exit", (code, signal) => this.#ended(code, signal));
    return child;
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#isEnding || !this.#hasListened || this.#diesTooOften()) {
      // A server that was told to end before it listened has no code.
      this.#events.ended(code ?? (this.#isEnding ? 0 : 1));
      return;
    }
    this.#events.died(signal ?? `code ${code}`);
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.#child = this.#start();
    }, RESTART_DELAY_MS);
  }

  #diesTooOften(): boolean {
    if (this.#isWanted) {
      this.#isWanted = false;
      return false;
    }
    const now = performance.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < DEATHS_WITHIN_MS), now];
    if (this.#deaths.length <= MAX_DEATHS) return false;
    console.error(`The server has died ${MAX_DEATHS + 1} times within a minute: it stays dead.`);
    return true;
  }
}
