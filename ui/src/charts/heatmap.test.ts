import { expect, it } from "vitest";
import type { Heat } from "../types";
import { cellAt, cells, durationTicks, shade, steps, summed, timeTicks } from "./heatmap";

const heat: Heat = {
  of: "duration_ms",
  unit: "ms",
  since: "2026-11-26T00:00:30Z",
  until: "2026-11-26T00:04:00Z",
  step_seconds: 60,
  table: "minute",
  buckets: [1, 2, 4, 8, 16, 32].map((low_ms) => ({ low_ms, high_ms: low_ms * 2 })),
  rows: [
    [Date.parse("2026-11-26T00:01:00Z") / 1000, 2, 40],
    [Date.parse("2026-11-26T00:03:00Z") / 1000, 3, 5],
  ],
};

it("shows the bands that hold something, with one more at either end", () => {
  const found = cells(heat);
  expect([found.columns, found.most, found.bands.map((band) => band.low)]).toEqual([4, 40, [2, 4, 8, 16]]);
  expect(cellAt(found, 0.3, 0.3)).toMatchObject({ time: heat.rows[0]?.[0], low: 4, high: 8, calls: 40 });
  expect([cellAt(found, 0.9, 0.6)?.calls, cellAt(found, 0, 0)?.calls, cellAt(found, 1.2, 0)]).toEqual([5, 0, null]);
  expect(summed(found, "calls")).toBe("45 calls; most often 4 ms to 8 ms, at the most 16 ms.");
});

it("tells a single call from none, and the most from the rest", () => {
  expect([shade(1, 1), shade(1, 1000), shade(1000, 1000)]).toEqual(["1.000", "0.120", "1.000"]);
});

it("is empty where nothing is known", () => {
  expect(summed(cells({ ...heat, rows: [] }), "calls")).toBe("Nothing is known.");
});

it("says what the colours stand for", () => {
  expect([steps(cells(heat)), steps(cells({ ...heat, rows: heat.rows.slice(0, 1) })), steps(cells({ ...heat, rows: [] }))]).toEqual([[5, 14, 40], [40], []]);
});

it("has ticks at round durations, and at whole minutes of the reader's zone", () => {
  const found = cells(heat);
  expect(durationTicks(found, 0.1).map((each) => each.value)).toEqual([10, 5, 2, 20]);
  expect(durationTicks(found, 0.3).map((each) => each.value)).toEqual([10, 2]);
  const { every, ticks } = timeTicks(found, 0.1, 30);
  expect([every, ticks.map((each) => each.place)]).toEqual([30, [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]]);
});
