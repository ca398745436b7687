import { describe, expect, it } from "vitest";
import type { Series } from "../types";
import { OTHERS } from "./colours";
import { covered, ofLabels, ofMeasures } from "./lines";

const series = (rows: Series["rows"], measures: Series["measures"], by: string[] = []): Series => ({
  measures,
  by,
  since: "2026-11-26T00:00:30Z",
  until: "2026-11-26T00:04:15Z",
  step_seconds: 60,
  table: "minute",
  rows,
});
const at = (minute: number) => `2026-11-26T00:0${minute}:00Z`;

describe("lines", () => {
  it("has a point for every step, and says that the last one is not complete", () => {
    const lines = ofMeasures(series([{ time: at(1), calls: 3, duration_p95_ms: 7 }], { calls: "calls", duration_p95_ms: "ms" }), ["calls", "duration_p95_ms"]);
    expect(lines.times.map((time) => new Date(time * 1000).toISOString().slice(14, 19))).toEqual(["00:00", "01:00", "02:00", "03:00", "04:00"]);
    expect(lines.partial).toBe(true);
    // nothing happened is zero; nothing is known is not
    expect(lines.values).toEqual([[0, 3, 0, 0, 0], [null, 7, null, null, null]]);
  });
  it("keeps a sum of which nothing is known unknown", () => {
    const lines = ofMeasures(series([{ time: at(2), cost_usd: null }], { cost_usd: "USD" }), ["cost_usd"]);
    expect(lines.values).toEqual([[0, 0, null, 0, 0]]);
  });
  it("takes a rate over what a point covers", () => {
    const rate = series([{ time: at(0), calls_per_minute: 4 }, { time: at(4), calls_per_minute: 2 }, { time: at(2), calls_per_minute: 5 }], { calls_per_minute: "calls/min" });
    expect([0, 2, 4].map((minute) => covered(rate, Date.parse(at(minute)) / 1000))).toEqual([30, 60, 15]);
    expect(ofMeasures(rate, ["calls_per_minute"]).values).toEqual([[8, 0, 5, 0, 8]]);
  });
  it("folds the long tail of a sum into one line, and of a quantile leaves it out", () => {
    const rows = (measure: string) => [1, 2, 3, 4].map((size) => ({ time: at(1), team: `t${size}`, [measure]: size }));
    const sum = ofLabels(series(rows("cost_usd"), { cost_usd: "USD" }, ["team"]), "cost_usd", 3);
    expect(sum.names).toEqual(["t4", "t3", OTHERS]);
    expect(sum.values.map((line) => line[1])).toEqual([4, 3, 3]);
    const quantile = ofLabels(series(rows("duration_p95_ms"), { duration_p95_ms: "ms" }, ["team"]), "duration_p95_ms", 3);
    expect(quantile.names).toEqual(["t4", "t3", "t2"]);
  });
  it("has words for labels that are empty or not known", () => {
    const lines = ofLabels(series([{ time: at(1), team: "", calls: 2 }, { time: at(1), team: null, calls: 1 }], { calls: "calls" }, ["team"]), "calls");
    expect(lines.names).toEqual(["(none)", "(unknown)"]);
  });
});
