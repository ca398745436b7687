import { expect, test } from "vitest";
import { listed, title } from "./words";

test("a measure has words, a percentile is named with its time", () => {
  expect(title("cost_usd")).toBe("Cost");
  expect(title("duration_p95_ms")).toBe("Latency p95");
  expect(listed("cost_usd")).toBe("Cost (cost_usd)");
});

test("a measure without words keeps its name, once", () => {
  expect(listed("not_known_yet")).toBe("not_known_yet");
});
