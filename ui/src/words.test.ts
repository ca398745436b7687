import { expect, test } from "vitest";
import { inline, listed, title } from "./words";

const SOURCES = import.meta.glob<string>("../../src/tachograph/{call,store/measures}.py", { query: "?raw", import: "default", eager: true });

test("a measure has words, a percentile is named with its time", () => {
  expect(title("cost_usd")).toBe("Cost");
  expect(title("duration_p95_ms")).toBe("Latency p95");
  expect(listed("cost_usd")).toBe("Cost (cost_usd)");
});

test("a measure without words keeps its name, once", () => {
  expect(listed("not_known_yet")).toBe("not_known_yet");
});

test("one table names measures, dimensions and what a call says", () => {
  expect([title("duration_ms"), title("tags.tier"), title("price_context.geo"), title("")]).toEqual(["Latency", "Tag tier", "Price context geo", ""]);
  expect([inline("request_model"), inline("api"), inline("api_key_id"), inline("status")]).toEqual(["requested model", "API", "API key", "HTTP status"]);
});

// The names as the store and the record declare them.
const [RECORD, MEASURES] = ["call", "store/measures"].map((each) => Object.entries(SOURCES).find(([path]) => path.endsWith(`/${each}.py`))?.[1] ?? "");

test("every dimension and every measure has words", () => {
  const fields = [...(RECORD ?? "").matchAll(/^ {4}(\w+): [^=\n]+ = _f\(([^]*?)\)$/gm)];
  const dimensions = fields.filter(([, , told]) => told?.includes("dimension=True")).map(([, name]) => name ?? "");
  const measures = [...(MEASURES ?? "").matchAll(/Measure\(\s*"(\w+)"/g)].map(([, name]) => name ?? "");
  expect([dimensions.length > 30, measures.length > 12]).toEqual([true, true]);
  expect([...dimensions, ...measures].filter((name) => title(name) === name)).toEqual([]);
});
