import { expect, test } from "vitest";
import { instead, valuesOf, within } from "./conditions";

test("one more condition keeps the others", () => {
  expect(within(["team=growth"], "outcome", "error")).toEqual(["team=growth", "outcome=error"]);
});

test("the same name is one condition, narrowed to what both allow", () => {
  expect(within(["outcome=error,truncated", "team="], "outcome", "error")).toEqual(["team=", "outcome=error"]);
});

test("what no call can meet is told", () => {
  expect(within(["outcome=ok"], "outcome", "error")).toBeNull();
  expect(within(["user_id=u1"], "user_id", null)).toBeNull();
});

test("unknown and empty are values", () => {
  expect(within(["user_id=null"], "user_id", null)).toEqual(["user_id=null"]);
  expect(within(["team="], "team", "")).toEqual(["team="]);
  expect(valuesOf(["tags.tier=a=b"], "tags.tier")).toEqual(["a=b"]);
});

test("a condition takes the place of the one of its name, and of no longer name", () => {
  expect(instead(["model=a", "model_x=b"], "model", "c")).toEqual(["model_x=b", "model=c"]);
});
