import { expect, test } from "vitest";
import { condition, instead, read, shown, valuesOf, within } from "./conditions";

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

test("every value can be said, and is read as it was said", () => {
  const values = ["Poe, Edgar", 'a "b"', '"', "null", null, "", "C:\\x", ","];
  expect(read(condition("user_id", values))).toEqual({ name: "user_id", values });
  for (const value of values) expect(read(condition("user_id", value)).values).toEqual([value]);
  expect(condition("user_id", ["Poe, Edgar", null])).toBe('user_id="Poe, Edgar",null');
});

test("what cannot be read is shown as it stands", () => {
  expect(read('team="a').values).toEqual(['"a']);
  expect(read('team="a"b').values).toEqual(['"a"b']);
});

test("conditions are read by people", () => {
  expect(shown('team="a,b",,null')).toEqual(["team", "a,b or (none) or (unknown)"]);
  expect(shown("duration_ms>=3000")).toEqual(["duration_ms", "≥ 3 s"]);
  expect([shown("cost_usd>=1.5"), shown("input_tokens>=20000"), shown("ttft_ms>=x")].map(([, said]) => said)).toEqual(["≥ $1.50", "≥ 20,000", "≥ x"]);
  expect(shown("tags.x>=3")).toEqual(["tags.x>", "3"]);
});

test("so much of a quantity is a condition of its own", () => {
  expect(instead(["duration_ms>=10", "team=a"], "duration_ms>", "20")).toEqual(["team=a", "duration_ms>=20"]);
});
