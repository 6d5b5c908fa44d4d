import { MessageChannel } from "node:worker_threads";

/** Keeps this thread from doing anything, like other work of a process, or like its suspension. */
export function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Returns a function that sends a message. `receive` is called when this thread reads it, once. */
export function onMessage(receive: () => void): () => void {
  const { port1, port2 } = new MessageChannel();
  port1.once("message", () => {
    port1.close();
    receive();
  });
  return () => port2.postMessage(null);
}
