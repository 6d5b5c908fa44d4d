import { describe, expect, test } from "vitest";
import {
  Heartbeats,
  type InstanceFacts,
  isInstanceAlive,
  isVersion1Alive,
} from "../../src/runs/liveness.ts";

const LEASE_MS = 1000;
const isAlive = (facts: Partial<InstanceFacts>) =>
  isInstanceAlive({
    isProcessThere: true,
    lockFreeMs: null,
    stillMs: 0,
    leaseMs: LEASE_MS,
    ...facts,
  });

describe("an instance", () => {
  test("is dead at once when the kernel says that its process is gone", () => {
    expect(isAlive({ isProcessThere: false })).toBe(false);
  });

  test("is dead when its process is unknown and its lock stays free", () => {
    expect(isAlive({ isProcessThere: null, lockFreeMs: Number.POSITIVE_INFINITY })).toBe(false);
  });

  test("is alive while its lock is free for a moment only, whatever its heartbeat", () => {
    expect(isAlive({ isProcessThere: null, lockFreeMs: 0, stillMs: LEASE_MS })).toBe(true);
  });

  test("is judged by its heartbeat when its process exists, whatever its lock", () => {
    expect(isAlive({ lockFreeMs: Number.POSITIVE_INFINITY })).toBe(true);
    expect(isAlive({ stillMs: LEASE_MS })).toBe(false);
  });

  test("is judged by its heartbeat when its process and its lock are unknown", () => {
    const unknown = { isProcessThere: null, lockFreeMs: null };
    expect(isAlive({ ...unknown, stillMs: LEASE_MS - 1 })).toBe(true);
    expect(isAlive({ ...unknown, stillMs: LEASE_MS })).toBe(false);
  });

  test("of version 1 is alive for a lease after its last write, whatever the clock was set to", () => {
    expect(isVersion1Alive(5000, 5000 + LEASE_MS - 1, LEASE_MS)).toBe(true);
    expect(isVersion1Alive(5000, 5000 + LEASE_MS, LEASE_MS)).toBe(false);
    expect(isVersion1Alive(5000, 5000 - LEASE_MS, LEASE_MS)).toBe(false);
  });
});

describe("a heartbeat", () => {
  const first = { instanceId: "a", beat: 1 };
  const second = { instanceId: "a", beat: 2 };

  test("stands still for the time since it was seen in which others could write", () => {
    const heartbeats = new Heartbeats();
    heartbeats.observe([first], 500);
    expect(heartbeats.stillMs(first)).toBe(0);
    heartbeats.observe([first], 300);
    heartbeats.observe([first], 0);
    heartbeats.observe([first], 200);
    expect(heartbeats.stillMs(first)).toBe(500);
  });

  test("counts from 0 again when it has changed", () => {
    const heartbeats = new Heartbeats();
    heartbeats.observe([first], 0);
    heartbeats.observe([first], 300);
    expect(heartbeats.stillMs(second)).toBe(0);
    heartbeats.observe([second], 300);
    expect(heartbeats.stillMs(second)).toBe(0);
  });

  test("is forgotten with its instance", () => {
    const heartbeats = new Heartbeats();
    heartbeats.observe([first], 0);
    heartbeats.observe([first], 300);
    heartbeats.observe([], 300);
    expect(heartbeats.stillMs(first)).toBe(0);
  });
});
