import { describe, expect, test } from "vitest";
import type { Call } from "../types";
import { ROWS_DRAWN_MAX, differing, drawn, identity, merged, placed, scaleMs, with_ } from "./CallsList";

const call = (second: number, more: Partial<Call> = {}): Call =>
  ({ call_id: String(second).padStart(32, "0"), started_at: `2026-11-26T05:00:${String(second).padStart(2, "0")}.000000Z`, same_as: null, duration_ms: second * 100, ...more }) as Call;
const ids = (calls: Call[]) => calls.map((each) => Number(each.call_id));

describe("the list", () => {
  test("is newest first, each call once, with what was told last", () => {
    const both = merged([call(3), call(1)], [call(2), call(3, { outcome: "error" })]);
    expect(ids(both)).toEqual([3, 2, 1]);
    expect(both[0]?.outcome).toBe("error");
  });

  test("calls of one moment keep one order", () => {
    const [a, b] = [call(1, { call_id: "a" }), call(1, { call_id: "b" })];
    expect(merged([a], [b])).toEqual(merged([b], [a]));
  });

  test("what came is put in its place, and what lies beyond the loaded part is left for going on", () => {
    const kept = { calls: [call(5), call(3)], next: placed(call(3)) };
    expect(ids(with_(kept, [call(6), call(4), call(1)]).calls)).toEqual([6, 5, 4, 3]);
    expect(ids(with_({ ...kept, next: null }, [call(1)]).calls)).toEqual([5, 3, 1]);
  });

  test("keeps no more than fit, and then goes on after the last that is kept", () => {
    const now = with_({ calls: [call(5), call(3)], next: null }, [call(7), call(6)], 3);
    expect(ids(now.calls)).toEqual([7, 6, 5]);
    expect(now.next).toBe(placed(call(5)));
  });
});

describe("the rows that are drawn", () => {
  test("are those in sight and some around", () => {
    const span = drawn(1000, 3200, 640, 32);
    expect(span.from).toBeLessThan(100);
    expect(span.to).toBeGreaterThan(120);
    expect(span.to - span.from).toBeLessThan(60);
  });
  test("are never more than the limit, nor more than there are", () => {
    expect(drawn(1000, 0, 1e6, 32).to).toBe(ROWS_DRAWN_MAX);
    expect(drawn(7, 99_999, 640, 32)).toEqual({ from: 0, to: 7 });
    expect(drawn(0, 0, 640, 32)).toEqual({ from: 0, to: 0 });
  });
});

test("bars are measured by a round number that most calls fit under", () => {
  expect(scaleMs([])).toBe(1000);
  expect(scaleMs([call(1, { duration_ms: 1320 })])).toBe(1500);
  expect(scaleMs(Array.from({ length: 100 }, (_, at) => call(1, { duration_ms: at < 95 ? 900 : 60_000 })))).toBe(1000);
  expect(scaleMs([call(1, { duration_ms: 0 })])).toBe(1);
});

test("an answered version is shown by what the requested name does not say", () => {
  expect(differing("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")).toBe("…-20250929");
  expect(differing("gpt-5", "gpt-5.2-2026-11-10")).toBe("gpt-5.2-2026-11-10");
});

test("an id is read in every form that people paste", () => {
  const id = "01a2164d350f763fa429c08dbe60c0a4";
  expect(identity(` ${id.toUpperCase()}\n`)).toBe(id);
  expect(identity("01a2164d-350f-763f-a429-c08dbe60c0a4")).toBe(id);
  expect(identity(`00-${id}-00f067aa0ba902b7-01`)).toBe(id);
  expect(identity("gpt-5")).toBeNull();
  expect(identity(`${id}0`)).toBeNull();
});
