import { describe, expect, it } from "vitest";
import { dimensionsOf, heatOf, labelOf, measuresOf, narrowedToTop, wide } from "./ExploreQuestion";

const rows = (names: (string | null)[]) => names.map((user_id) => ({ user_id, calls: 1 }));
const nine = [..."abcdefghi"];

describe("what Explore asks", () => {
  it("knows families of measures, and measures one by one", () => {
    expect(measuresOf("ttft_percentiles")).toEqual(["ttft_p50_ms", "ttft_p90_ms", "ttft_p95_ms", "ttft_p99_ms"]);
    expect(measuresOf("cost_usd,calls")).toEqual(["cost_usd", "calls"]);
    expect([heatOf("ttft_p95_ms"), heatOf("itl_percentiles"), heatOf("cost_usd")]).toEqual(["ttft_ms", "itl_ms", "duration_ms"]);
  });
  it("groups by two dimensions at the most, each once", () => {
    expect([dimensionsOf("model,team,user_id"), dimensionsOf("model,model"), dimensionsOf("")]).toEqual([["model", "team"], ["model"], []]);
  });
  it("asks only for the largest over time where there are many", () => {
    expect(narrowedToTop(["team=a"], ["user_id"], rows(nine))).toEqual(["team=a", "user_id=a,b,c,d,e,f,g,h"]);
    expect(narrowedToTop(["team=a"], ["user_id"], rows(["a", "b"]))).toEqual(["team=a"]);
    expect(narrowedToTop([], ["user_id"], rows([null, "a,b", ...nine]))).toEqual(['user_id=null,"a,b",a,b,c,d,e,f']);
    expect(narrowedToTop(["user_id=a,b"], ["user_id"], rows(nine))).toEqual(["user_id=a,b"]);
    expect(narrowedToTop([], ["user_id", "team"], rows(nine))).toEqual([]);
  });
  it("sums who asks by the day over weeks", () => {
    expect([wide(21_600, 30 * 86_400, ["team"]), wide(21_600, 30 * 86_400, ["model"]), wide(600, 86_400, ["team"])]).toEqual([86_400, 21_600, 600]);
  });
  it("finds the label behind the words of a line", () => {
    expect([labelOf("(none)", rows(["", "a"]), ["user_id"]), labelOf("(unknown)", rows([null]), ["user_id"]), labelOf("b", rows(["a"]), ["user_id"])]).toEqual(["", null, undefined]);
  });
});
