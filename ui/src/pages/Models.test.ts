import { expect, test } from "vitest";
import type { ModelVersion, PriceRow } from "../types";
import { compared, enough, mood, spans } from "./ModelsComparison";
import { fixOf } from "./ModelsFixes";
import { conditionOf, named, partsOf, priceable, ratesOf, stateOf, written } from "./ModelsRates";

const AT = "2026-11-26T02:10:00Z";

test("both sides of a change are as long as what there is since", () => {
  const both = spans(AT, 86_400, Date.parse("2026-11-26T05:12:13Z"));
  expect(both).toEqual({
    before: { since: "2026-11-25T23:10:00Z", until: AT },
    after: { since: AT, until: "2026-11-26T05:10:00Z" },
    seconds: 10_800,
  });
});

test("a change of this minute still has a span", () => {
  expect(spans(AT, 86_400, Date.parse(AT) + 1000).seconds).toBe(300);
});

test("an old change is compared over what is wished", () => {
  expect(spans(AT, 3600, Date.parse("2026-12-26T00:00:00Z")).seconds).toBe(3600);
});

const was = { calls: 100, duration_p95_ms: 1000, output_tokens: 5000, cost_per_call_usd: null, cache_hit_rate: 0.5, error_rate: 0 };
const is = { calls: 50, duration_p95_ms: 1200, output_tokens: 3000, cost_per_call_usd: null, cache_hit_rate: 0.4, error_rate: 0.1 };

test("figures side by side; what neither side knows is left out", () => {
  const lines = compared(was, is);
  const line = (name: string) => lines.find((each) => each.name === name);
  expect(line("cost_per_call_usd")).toBeUndefined();
  expect(line("output_per_call")).toMatchObject({ before: 50, after: 60 });
  expect(line("output_per_call")?.moved).toBeCloseTo(0.2);
  expect(line("error_rate")?.moved).toBeNull();
});

test("slower is bad, fewer cache hits are bad, more calls are neither", () => {
  const moods = Object.fromEntries(compared(was, is).map((line) => [line.name, mood(line)]));
  expect(moods).toMatchObject({ duration_p95_ms: "bad", cache_hit_rate: "bad", calls: "", error_rate: "" });
});

test("thirty calls on each side are enough to tell", () => {
  expect(enough(compared(was, is))).toBe(true);
  expect(enough(compared(was, { ...is, calls: 29 }))).toBe(false);
  expect(enough(compared(was, undefined))).toBe(false);
});

const version = (over: Partial<ModelVersion>): ModelVersion => ({
  provider: "vllm",
  request_model: "acme/support-7b",
  response_model: "acme/support-7b",
  model: "acme/support-7b",
  calls: 3,
  cost_usd: null,
  priced_calls: 0,
  first_seen: AT,
  last_seen: AT,
  price_id: null,
  fix: "[[price]]",
  ...over,
});

test("a model's name may hold a slash", () => {
  expect(named(written({ provider: "vllm", model: "acme/support-7b" }))).toEqual({ provider: "vllm", model: "acme/support-7b" });
  expect(named("openai/")).toBeNull();
  expect(named("")).toBeNull();
});

test("the dearest model is first, its versions together", () => {
  const rows = [version({}), version({ provider: "openai", model: "gpt-5", cost_usd: 2 }), version({ provider: "openai", model: "gpt-5-mini", cost_usd: 3 }), version({ provider: "openai", model: "gpt-5", cost_usd: 2, response_model: "b" })];
  expect(priceable(rows).map((each) => each.model)).toEqual(["gpt-5", "gpt-5-mini", "acme/support-7b"]);
});

test("the lines that price a model are those of the model that was called", () => {
  const row = { provider: "vllm", model: "acme/support-7b", request_model: "acme/support-7b" };
  expect(fixOf([version({ provider: "openai", fix: "other" }), version({ fix: null, response_model: "x" }), version({})], row)).toBe("[[price]]");
  expect(fixOf([], row)).toBeNull();
});

const price = (over: Partial<PriceRow>): PriceRow => ({ price_id: "", provider: "", model: "", since: null, until: null, in_force: true, context: {}, window: null, rates: {}, source: "", ...over });

test("the usual rates come first, those of larger requests with theirs", () => {
  const row = price({ rates: { web_search: "10", output_visible: "8", "input_uncached above 200000 input tokens": "2", input_uncached: "1" } });
  expect(partsOf([row, price({ rates: { cache_read: "0.1" } })])).toEqual(["input_uncached", "cache_read", "output_visible", "web_search"]);
  expect(ratesOf(row, "input_uncached")).toEqual([{ above: 0, rate: "1" }, { above: 200_000, rate: "2" }]);
});

test("a row says which calls it is for, and what has become of it", () => {
  expect(conditionOf(price({ context: { service_tier: "flex" }, window: "16:30-00:30" }))).toBe("service tier flex, 16:30-00:30 UTC");
  const state = (over: Partial<PriceRow>) => stateOf(price({ in_force: false, ...over }), Date.parse(AT));
  expect([stateOf(price({}), 0), state({ since: "2026-12-01" }), state({ until: "2026-11-01" }), state({})]).toEqual(["in force", "not yet", "past", "replaced"]);
});
