import { workerData } from "node:worker_threads";
import { deflateRawSync, deflateSync, inflateRawSync, inflateSync } from "node:zlib";
import type { ThreadConfig } from "../protocol/messages.ts";
import { NativeGate } from "./native-gate.ts";

const { nativeCalls }: Partial<ThreadConfig> = workerData ?? {};

/** The gate of this thread. A thread that is not of this package has one that nobody shuts. */
export const nativeGate = new NativeGate(
  nativeCalls instanceof Int32Array ? nativeCalls : undefined,
);

/*
 * The functions of zlib that worker threads call. A thread that is terminated inside of them aborts the process:
 * see `NativeGate`.
 */

export function deflate(text: string): Buffer {
  return nativeGate.pass(() => deflateSync(text));
}

export function inflate(deflated: Uint8Array): Buffer {
  return nativeGate.pass(() => inflateSync(deflated));
}

export function deflateRaw(text: string, dictionary?: Uint8Array): Buffer {
  return nativeGate.pass(() => deflateRawSync(text, { dictionary }));
}

export function inflateRaw(deflated: Uint8Array, dictionary?: Uint8Array): Buffer {
  return nativeGate.pass(() => inflateRawSync(deflated, { dictionary }));
}
