import { expect, test } from "vitest";
import type { HeadroomRow, Series } from "../types";
import { failing, points, together } from "./ErrorsCounts";
import { byNeed, gauges, inWords } from "./ErrorsRoom";
import { fault, shownAs } from "./ErrorsWords";

const series = (rows: Series["rows"], measures: Series["measures"] = { errors: "calls", calls: "calls", error_rate: "1" }): Series => ({
  measures,
  by: ["provider"],
  since: "",
  until: "",
  step_seconds: null,
  table: "calls",
  rows,
});

test("who fails most is first; who failed before and no longer does is still listed", () => {
  const rows = failing(series([{ provider: "a", errors: 0, calls: 9, error_rate: 0 }, { provider: "b", errors: 3, calls: 30, error_rate: 0.1 }, { provider: "c", errors: 0, calls: 5, error_rate: 0 }, { provider: "d", errors: 1, calls: 2, error_rate: 0.5 }]), series([{ provider: "a", errors: 2, calls: 4, error_rate: 0.5 }, { provider: "b", errors: 1, calls: 50, error_rate: 0.02 }]), "provider");
  expect(rows.map((row) => row.value)).toEqual(["b", "d", "a"]);
  expect(rows[0]).toMatchObject({ share: 0.75, rate: 0.1, rateBefore: 0.02, errorsBefore: 1 });
  expect(rows[1]).toMatchObject({ rateBefore: null, errorsBefore: 0 });
});

test("a fault domain has no rate of its own", () => {
  expect(failing(series([{ provider: "a", errors: 2 }], { errors: "calls" }), null, "provider")[0]).toMatchObject({ rate: null, calls: null });
});

test("rates move by points", () => {
  expect(points(0.05, 0.02)).toBe("+3.0 points");
  expect(points(0.01, 0.25)).toBe("−24 points");
  expect(points(0.0101, 0.0101)).toBe("no change");
  expect(points(null, 0.1)).toBe("–");
});

test("the period before lies under this one, point by point", () => {
  const lines = (values: (number | null)[]) => ({ times: values.map((_, index) => index), names: ["x"], values: [values], step: 1, partial: false });
  expect(together(lines([1, 2, 3]), lines([4, null]), ["now", "before"])).toMatchObject({ names: ["now", "before"], values: [[1, 2, 3], [4, null, null]] });
  expect(together(lines([1]), null, ["now", "before"]).names).toEqual(["now"]);
});

const NOW = Date.parse("2026-11-26T05:00:00Z");
const told = (over: Partial<HeadroomRow>): HeadroomRow => ({
  provider: "openai",
  model: null,
  api_key_id: null,
  at: "2026-11-26T04:59:50Z",
  limit_requests: 100,
  remaining_requests: 19,
  reset_requests_ms: 30_000,
  limit_tokens: null,
  remaining_tokens: null,
  reset_tokens_ms: null,
  ...over,
});

test("what is left of a limit, and when it starts anew", () => {
  expect(gauges(told({}), NOW)).toEqual([{ of: "requests", left: 19, limit: 100, share: 0.19, anewMs: NOW + 20_000, over: false }]);
});

test("a window that has ended says nothing of now", () => {
  expect(gauges(told({ reset_requests_ms: 5000 }), NOW)[0]?.over).toBe(true);
  expect(gauges(told({ reset_requests_ms: null }), NOW)[0]).toMatchObject({ anewMs: null, over: false });
  expect(gauges(told({ reset_requests_ms: null, at: "2026-11-26T04:00:00Z" }), NOW)[0]?.over).toBe(true);
});

test("without a limit there is no share; more left than the limit is all of it", () => {
  expect(gauges(told({ limit_requests: null }), NOW)).toEqual([]);
  expect(gauges(told({ remaining_requests: 120 }), NOW)[0]?.share).toBe(1);
});

test("the least room comes first, ended windows last, the untold not at all", () => {
  const rows = [told({ model: "ended", remaining_requests: 1, reset_requests_ms: 1 }), told({ model: "much", remaining_requests: 90 }), told({ model: "untold", limit_requests: null }), told({ model: "little", limit_tokens: 10, remaining_tokens: 1 })];
  expect(byNeed(rows, NOW).map((row) => row.model)).toEqual(["little", "much", "ended"]);
});

test("spans of time in a word or two", () => {
  expect([900, 6000, 45_000, 120_000, 7_200_000, 200_000_000].map(inWords)).toEqual(["0.9 s", "6 s", "45 s", "2 min", "2 h", "2 days"]);
});

test("a kind that is not known keeps its own name", () => {
  expect(fault("brand_new")).toMatchObject({ title: "brand_new", at: "unclear" });
  expect(shownAs("error_type", "rate_limited")).toBe("rate limited");
  expect(shownAs("provider", "other")).toBe("other");
});
