/** Keeps this thread from doing anything, like other work of a process, or like its suspension. */
export function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
