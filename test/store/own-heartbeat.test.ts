import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { OwnHeartbeat } from "../../src/runs/own-heartbeat.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function writtenAfter(own: OwnHeartbeat, ms: number) {
  vi.advanceTimersByTime(ms);
  own.beginning();
  return own.beaten();
}

test("the time between two heartbeats counts against an instance whose heartbeat stands still", () => {
  const own = new OwnHeartbeat(600);
  expect(writtenAfter(own, 200)).toEqual({ overslept: false, writableMs: 200 });
  expect(writtenAfter(own, 210)).toEqual({ overslept: false, writableMs: 210 });
});

test("the time around a heartbeat that failed counts against nobody: others may have failed, too", () => {
  const own = new OwnHeartbeat(600);
  writtenAfter(own, 200);
  vi.advanceTimersByTime(200);
  own.beginning();
  expect(writtenAfter(own, 200)).toEqual({ overslept: false, writableMs: 0 });
  expect(writtenAfter(own, 200)).toEqual({ overslept: false, writableMs: 200 });
});
