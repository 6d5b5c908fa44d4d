import type { PageFiles, ToServer, ToSupervisor } from "./messages.ts";

/** The server's end of the channel to the process of `npm start`. */
export class SupervisorLink {
  /** Resolves when the page is built. Rejects with the reason if that failed. */
  readonly page: Promise<PageFiles>;
  readonly #waiting: ((port: number | null) => void)[] = [];

  /** Null if this process was started without `npm start`. */
  static open(): SupervisorLink | null {
    return process.send === undefined ? null : new SupervisorLink();
  }

  private constructor() {
    const page = Promise.withResolvers<PageFiles>();
    this.page = page.promise;
    this.page.catch(() => undefined); // Whoever asks for the page gets the reason.
    process.on("message", (message: ToServer) => {
      if (message.kind === "page") page.resolve(message.files);
      else if (message.kind === "page-failed") page.reject(new Error(message.reason));
      else for (const answer of this.#waiting.splice(0)) answer(message.port);
    });
  }

  isListening(port: number, place: string): void {
    this.#send({ kind: "listening", port, place });
  }

  /** Has this process killed with SIGKILL, and started again. */
  kill(): void {
    this.#send({ kind: "kill" });
  }

  /** The port of a second server on the same database, once it listens. Null if it did not start. */
  otherServer(): Promise<number | null> {
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.#waiting.push(resolve);
    this.#send({ kind: "start-other" });
    return promise;
  }

  /** Calls `end` when the process of `npm start` is gone. */
  onEnd(end: () => void): void {
    process.on("disconnect", end);
  }

  #send(message: ToSupervisor): void {
    process.send?.(message);
  }
}
