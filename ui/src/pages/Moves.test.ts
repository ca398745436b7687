import { expect, it } from "vitest";
import type { Series } from "../types";
import { moved } from "./Moves";

const of = (costs: Record<string, number | null>): Series => ({
  measures: { cost_usd: "USD" },
  by: ["team"],
  since: "2026-11-25T00:00:00Z",
  until: "2026-11-26T00:00:00Z",
  step_seconds: null,
  table: "calls",
  rows: Object.entries(costs).map(([team, cost_usd]) => ({ team, cost_usd })),
});

it("adds up to the whole change, also for who came and who left", () => {
  const movers = moved(of({ search: 4, growth: 9, fresh: 2 }), of({ search: 5, growth: 1, gone: 3 }), "team");
  expect(movers.map(({ name, moved: by }) => [name, by])).toEqual([["growth", 8], ["gone", -3], ["fresh", 2], ["search", -1]]);
  expect(movers.reduce((sum, mover) => sum + mover.moved, 0)).toBe(15 - 9);
});
