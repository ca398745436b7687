import { expect, test } from "vitest";
import type { Series } from "../types";
import { stacked } from "./PeopleStack";
import { crumbs, next, spent } from "./PeopleLevels";

const series = (rows: Series["rows"], by = ["team"], step: number | null = null): Series => ({
  measures: { cost_usd: "USD" },
  by,
  since: "2026-11-26T00:00:00Z",
  until: "2026-11-26T00:02:00Z",
  step_seconds: step,
  table: "calls",
  rows,
});

test("narrowing goes on to what one is not narrowed to yet", () => {
  expect(next("team", ["team"])).toBe("feature");
  expect(next("team", ["team", "feature"])).toBe("customer");
  expect(next("team", ["team", "feature", "customer", "user_id", "project"])).toBe("team");
});

test("a step back takes out the later steps, and no other filter", () => {
  const steps = crumbs(["team=growth", "model=gpt-5", "feature=draft", "customer="]);
  expect(steps.map((step) => [step.name, ...step.values])).toEqual([["team", "growth"], ["feature", "draft"], ["customer", ""]]);
  expect(steps[0]?.where).toEqual(["team=growth", "model=gpt-5"]);
  expect(steps[1]?.where).toEqual(["team=growth", "model=gpt-5", "feature=draft"]);
});

test("shares are of the whole, changes against what was, and the new are new", () => {
  const rows = spent(series([{ team: "a", cost_usd: 30 }, { team: "b", cost_usd: null }, { team: "", cost_usd: 10 }]), series([{ team: "a", cost_usd: 20 }, { team: "b", cost_usd: 5 }]), ["team"], 100);
  expect(rows[0]).toMatchObject({ share: 0.3, moved: 0.5, was: 20, fresh: false });
  expect(rows[1]).toMatchObject({ share: null, moved: null, fresh: false });
  expect(rows[2]).toMatchObject({ share: 0.1, moved: null, fresh: true });
});

test("while the period before is not known nobody is new", () => {
  expect(spent(series([{ team: "a", cost_usd: 1 }]), null, ["team"], null)[0]).toMatchObject({ fresh: false, share: null });
});

const AT = ["2026-11-26T00:00:00Z", "2026-11-26T00:01:00Z"];

test("what the dearest leave of the whole is everything else", () => {
  const parts = series([{ time: AT[0], team: "a", cost_usd: 3 }, { time: AT[1], team: "a", cost_usd: 1 }], ["team"], 60);
  const all = series([{ time: AT[0], cost_usd: 5 }, { time: AT[1], cost_usd: 1 }], [], 60);
  expect(stacked(parts, all)).toMatchObject({ names: ["a", "everything else"], values: [[3, 1], [2, 0]] });
  expect(stacked(parts, series([{ time: AT[0], cost_usd: 3 }, { time: AT[1], cost_usd: 1 }], [], 60)).names).toEqual(["a"]);
  expect(stacked(null, all)).toMatchObject({ names: ["everything else"], values: [[5, 1]] });
});
